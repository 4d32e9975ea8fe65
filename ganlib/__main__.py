"""The command line: train a detector on a folder, score images with it, export it."""

import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer
import typer.core

from ganlib.errors import GanlibError
from ganlib.files import remove_unfinished, shown, write_safely

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # or TensorFlow logs a lot
warnings.filterwarnings("ignore", module="PIL")  # about files that can be read

EPILOG = """
A whole session:

  python -m ganlib train parts/ --output parts.keras --minutes 5

  python -m ganlib score parts.keras new/ --csv scores.csv --report report.html

  python -m ganlib export parts.keras parts.onnx

Exit status: 0 success (with --fail-on-anomaly: and all images are normal), 1 anomalies were found
with --fail-on-anomaly, 2 an error, 130 interrupted.
"""


class _Commands(typer.core.TyperGroup):
    """Report what a user can fix in one line."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except GanlibError as error:
            _say(f"Error: {error}")
        except OSError as error:
            what = error.strerror or type(error).__name__
            _say(f"Error: {shown(error.filename or 'A file')}: {what}.")
        except KeyboardInterrupt:
            _say("\nInterrupted. The same command continues.")
            raise typer.Exit(130) from None
        raise typer.Exit(2)


app = typer.Typer(
    name="ganlib",
    cls=_Commands,
    help="Find defects in images, with a model that has seen good images only.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DetectorFile = Annotated[Path, typer.Argument(help="A file from `train`.", metavar="DETECTOR")]
OnError = Annotated[
    Literal["raise", "skip"],
    typer.Option(help="For an image that cannot be read: stop, or leave it out and count it."),
]


@app.command(epilog="Example: python -m ganlib train parts/ -o parts.keras --minutes 5")
def train(
    folder: Annotated[Path, typer.Argument(help="Good images, or a folder in MVTec's layout.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The detector. [default: FOLDER.keras]")
    ] = None,
    method: Annotated[str, typer.Option(help="Also AnoGAN, ..., or your own.")] = "GANomaly",
    minutes: Annotated[float, typer.Option(help="Time limit for training, in minutes.")] = 10.0,
    steps: Annotated[int | None, typer.Option(help="Most steps. [default: as in quick]")] = None,
    image_size: Annotated[int, typer.Option(help="32, 64, 128 or 256 pixels.")] = 64,
    filters: Annotated[int, typer.Option(help="Width of the networks.")] = 16,
    channels: Annotated[
        int | None, typer.Option(help="1 grey, 3 RGB. [default: as in files]")
    ] = None,
    resize: Annotated[
        Literal["letterbox", "crop", "squeeze"],
        typer.Option(help="How images become square: with bars, cut, or squeezed."),
    ] = "letterbox",
    false_alarm_rate: Annotated[float, typer.Option(help="Of good images, may be flagged.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of weights, order and what is held out.")] = 0,
    on_error: OnError = "raise",
) -> None:
    """Train a detector on good images.

    A fifth of them is held out to choose the threshold. If the command is interrupted, the same
    command continues.
    """
    if minutes <= 0 or (steps is not None and steps < 1) or not 0 < false_alarm_rate < 1:
        raise GanlibError(
            f"--minutes {minutes:g}, --steps {steps}, --false-alarm-rate {false_alarm_rate:g}: "
            "expected a time above 0, at least 1 step and a share between 0 and 1."
        )
    if output is None:
        output = Path(f"{folder.resolve().name}.keras")
    if output.suffix != ".keras" or output.is_dir():
        raise GanlibError(f"--output is {output}: give the name of a file that ends in .keras.")
    from ganlib import data
    from ganlib.detector.train import judge, train_detector
    from ganlib.settings import settings

    # Keeps the state of an interrupted training; otherwise it is deleted.
    work = output.parent / f".{output.name}.unfinished"
    remove_unfinished(output.parent, output.name)
    try:
        options = {"data_dir": work, "resize": resize, "on_error": on_error, "on_message": _say}
        dataset = data.open_dataset(f"{folder}/", **options)
        split, note = data.held_out_split(dataset, seed=seed)
        channels = channels or data.channels_of(dataset)
        sizes = {"image_size": image_size, "channels": channels, "filters": filters}
        chosen = settings("quick", f"{folder}/", **sizes, steps=steps, dcgan_steps=steps)
        images, checkpoint, rate = (
            (dataset, split, chosen),
            work / "checkpoint.npz",
            false_alarm_rate,
        )
        trained = train_detector(*images, checkpoint, minutes, seed, rate, (note,), method)
        detector = trained.detector
        metrics = judge(detector, dataset, split)
        detector.card = {**detector.card, "test": metrics}
        write_safely(output, detector.save)
    finally:
        if not list(work.glob("checkpoint*.npz")):
            shutil.rmtree(work, ignore_errors=True)
    _say(f"{detector.card['steps']} steps in {trained.seconds:.0f} s.")
    for sentence in [*detector.card["notes"], *_sentences(metrics)]:
        _say(sentence)
    print(output)


def _sentences(metrics: dict) -> list[str]:
    sentences = []
    if "auroc" in metrics:
        text = "AUROC on the test images {auroc:.3f} [{auroc_low:.3f}, {auroc_high:.3f}]."
        sentences.append(text.format(**metrics))
    if metrics.get("n_normal"):
        text = "{false_alarm_rate:.1%} of {n_normal} good test images are flagged as anomalies."
        sentences.append(text.format(**metrics))
    if metrics.get("n_anomaly"):
        text = "{detection_rate:.1%} of {n_anomaly} test anomalies are found."
        sentences.append(text.format(**metrics))
    return sentences


def _load(path: Path):
    from ganlib.detector.detector import Detector
    from ganlib.detector.load import load_model

    model = load_model(path)
    if not isinstance(model, Detector):
        raise GanlibError(
            f"{path} holds {type(model).__name__}, expected a detector. Train one on your images: "
            "python -m ganlib train FOLDER."
        )
    return model


@app.command(epilog="Example: python -m ganlib score parts.keras new/ --csv scores.csv")
def score(
    detector: DetectorFile,
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    csv: Annotated[Path | None, typer.Option(help="Write a table.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with pictures.")] = None,
    heatmaps: Annotated[Path | None, typer.Option(help="Write heat maps to this folder.")] = None,
    false_alarm_rate: Annotated[float | None, typer.Option(help="Use another threshold.")] = None,
    on_error: OnError = "raise",
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with 1 if an anomaly is found.")
    ] = False,
) -> None:
    """Score images.

    Without --csv, --report or --heatmaps, print a line per image: verdict, score, file. With them,
    the same command continues an interrupted one.
    """
    for path, suffix in ((csv, ".csv"), (report, ".html")):
        if path is not None and (path.suffix.lower() != suffix or path.is_dir()):
            raise GanlibError(f"{path}: give the name of a file that ends in {suffix}.")
    if heatmaps is not None and heatmaps.exists() and not heatmaps.is_dir():
        raise GanlibError(f"{heatmaps} is a file: give a folder for the heat maps.")
    from tqdm import tqdm

    from ganlib.detector.score import Outputs, find_images, score_files

    files = find_images(images)
    model = _load(detector)
    if false_alarm_rate is not None:
        model.calibrate(model.normal_scores, false_alarm_rate)
        model.card = {**model.card, "false_alarm_rate": false_alarm_rate}
    outputs = Outputs(csv, report, heatmaps)
    print_lines = not any(outputs)
    with tqdm(total=len(files), desc="scoring", unit="image", disable=None, mininterval=10) as bar:

        def on_scored(entry):
            bar.update()
            if print_lines and entry.error:
                print(f"UNREADABLE\t\t{entry.file}\t{entry.error}")
            elif print_lines:
                verdict = {None: "", True: "ANOMALY", False: "normal"}[entry.is_anomaly]
                print(f"{verdict}\t{entry.score:.4g}\t{entry.file}")

        scored = ", ".join(map(str, images))
        counts = score_files(model, files, outputs, detector.name, scored, on_error, on_scored)
    unreadable = f" {counts.unreadable} could not be read." if counts.unreadable else ""
    summary = f"{counts.anomalies} of {counts.scored} images flagged as anomalies.{unreadable}"
    print(summary, file=sys.stderr if print_lines else sys.stdout)
    for path in filter(None, outputs):
        print(path)
    if fail_on_anomaly and counts.anomalies:
        raise typer.Exit(1)


@app.command(epilog="Example: python -m ganlib export parts.keras parts.onnx")
def export(
    detector: DetectorFile,
    output: Annotated[Path, typer.Argument(help="The file, with the suffix of the format.")],
    format: Annotated[
        Literal["onnx", "litert", "saved_model", "openvino"],
        typer.Option(help=".onnx, .tflite, a folder, .xml."),
    ] = "onnx",
) -> None:
    """Write a detector for programs that have neither ganlib nor Keras.

    A JSON file beside it says what such a program has to know: sizes, threshold, card.
    """
    from ganlib.detector.export import export as write

    for path in write(_load(detector), output, format):
        print(path)


@app.command(epilog="Example: python -m ganlib inspect parts.keras")
def inspect(
    detector: DetectorFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print a detector's card: its images, its training, its threshold."""
    model = _load(detector)
    scores = model.normal_scores
    card = {**model.card, "thresholds": model.thresholds, "normal_scores": None}
    if len(scores):
        lowest, median, highest = map(float, scores[[0, len(scores) // 2, -1]])
        summary = {"n": len(scores), "lowest": lowest, "median": median, "highest": highest}
        card["normal_scores"] = summary
    if as_json:
        print(json.dumps(card, indent=1))
        return
    width = max(map(len, card))
    for name, value in card.items():
        text = value if isinstance(value, str) else json.dumps(value)
        for line in value if name == "notes" else [text]:
            print(f"{name:{width}}  {line}")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def main() -> None:
    """Run from the command line; see `EPILOG` for the exit status."""
    app(prog_name="python -m ganlib" if sys.argv[0].endswith(".py") else "ganlib")


if __name__ == "__main__":
    main()
