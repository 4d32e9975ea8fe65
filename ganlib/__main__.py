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


def _file(suffix: str, help: str, *names: str):
    def check(path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() != suffix:
            raise typer.BadParameter(f"{path} does not end in {suffix}.")
        return path

    return typer.Option(*names, dir_okay=False, callback=check, help=help)


DetectorFile = Annotated[Path, typer.Argument(help="A file from `train`.", metavar="DETECTOR")]
Rate = typer.Option(min=0.0001, max=0.9999, help="Share of good images that may be flagged.")
OnError = Annotated[
    Literal["raise", "skip"],
    typer.Option(help="At an image that cannot be read: stop, or leave it out."),
]


@app.command()
def train(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Good images; or train/good with test/good, test/<kind> and ground_truth/<kind>."
        ),
    ],
    output: Annotated[
        Path | None, _file(".keras", "[default: FOLDER.keras]", "--output", "-o")
    ] = None,
    method: Annotated[str, typer.Option(help="Or AnoGAN, ..., or your own.")] = "GANomaly",
    minutes: Annotated[float, typer.Option(min=0.0001, help="Most minutes of training.")] = 10.0,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    image_size: Annotated[int, typer.Option(help="32, 64, 128 or 256 pixels.")] = 64,
    filters: Annotated[int, typer.Option(help="Width of the networks.")] = 16,
    resize: Annotated[
        Literal["letterbox", "crop", "squeeze"],
        typer.Option(help="How images become square: with bars, cut, or squeezed."),
    ] = "letterbox",
    false_alarm_rate: Annotated[float, Rate] = 0.05,
    seed: Annotated[int, typer.Option(help="Of weights, order and what is held out.")] = 0,
    on_error: OnError = "raise",
) -> None:
    """Train a detector on good images.

    A fifth of them is held out to choose the threshold. If the command is interrupted, the same
    command continues.
    """
    from ganlib import data
    from ganlib.detector.train import judge, train_detector
    from ganlib.settings import settings

    output = output or Path(f"{folder.resolve().name}.keras")
    # Keeps the state of an interrupted training; otherwise it is deleted.
    work = output.parent / f".{output.name}.unfinished"
    remove_unfinished(output.parent, output.name)
    try:
        dataset = data.open_dataset(
            f"{folder}/", data_dir=work, resize=resize, on_error=on_error, on_message=_say
        )
        split, note = data.held_out_split(dataset, seed=seed)
        chosen = settings(
            "quick",
            f"{folder}/",
            image_size=image_size,
            filters=filters,
            channels=data.channels_of(dataset),
            steps=steps,
            dcgan_steps=steps,
        )
        about = (dataset, split, chosen, work / "checkpoint.npz", minutes, seed)
        detector, _ = train_detector(*about, false_alarm_rate, (note,), method)
        metrics = judge(detector, dataset, split)
        detector.card = {**detector.card, "test": metrics}
        write_safely(output, detector.save)
    finally:
        if not list(work.glob("checkpoint*.npz")):
            shutil.rmtree(work, ignore_errors=True)
    _say("{steps} steps in {train_seconds:.0f} s.".format(**detector.card))
    for sentence in [*detector.card["notes"], *_sentences(metrics)]:
        _say(sentence)
    print(output)


def _sentences(metrics: dict) -> list[str]:
    known = {
        "auroc": "AUROC on the test images {auroc:.3f} [{auroc_low:.3f}, {auroc_high:.3f}].",
        "false_alarm_rate": "{false_alarm_rate:.1%} of {n_normal} good test images are flagged.",
        "detection_rate": "{detection_rate:.1%} of {n_anomaly} test anomalies are found.",
    }
    return [text.format(**metrics) for name, text in known.items() if name in metrics]


def _load(path: Path):
    from ganlib.detector.detector import Detector
    from ganlib.detector.load import load_model

    model = load_model(path)
    if not isinstance(model, Detector):
        raise GanlibError(
            f"{path} holds {type(model).__name__}, expected a detector: see python -m ganlib train."
        )
    return model


@app.command()
def score(
    detector: DetectorFile,
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    csv: Annotated[Path | None, _file(".csv", "Write a table.")] = None,
    report: Annotated[Path | None, _file(".html", "Write a page with pictures.")] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(file_okay=False, help="Write heat maps to this folder.")
    ] = None,
    false_alarm_rate: Annotated[float | None, Rate] = None,
    on_error: OnError = "raise",
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with 1 if an anomaly is found.")
    ] = False,
) -> None:
    """Score images.

    Without --csv, --report or --heatmaps, print a line per image: verdict, score, file. With them,
    the same command continues an interrupted one.
    """
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
                verdict = "ANOMALY" if entry.is_anomaly else "normal"
                print(f"{verdict}\t{entry.score:.4g}\t{entry.file}")

        scored = ", ".join(map(str, images))
        counts = score_files(model, files, outputs, detector.name, scored, on_error, on_scored)
    summary = "{anomalies} of {scored} images flagged as anomalies, {unreadable} unreadable."
    summary = summary.format(**counts._asdict())
    print(summary, file=sys.stderr if print_lines else sys.stdout)
    for path in filter(None, outputs):
        print(path)
    if fail_on_anomaly and counts.anomalies:
        raise typer.Exit(1)


@app.command()
def export(
    detector: DetectorFile,
    output: Annotated[Path, typer.Argument(help="The file, with the suffix of the format.")],
    format: Annotated[
        Literal["onnx", "litert", "saved_model", "openvino"],
        typer.Option(help=".onnx, .tflite, a folder, .xml."),
    ] = "onnx",
) -> None:
    """Write a detector, and what is to be known of it as JSON, for programs without Keras."""
    from ganlib.detector.export import export as write

    for path in write(_load(detector), output, format):
        print(path)


@app.command()
def inspect(detector: DetectorFile) -> None:
    """Print a detector's card as JSON: its images, its training, its thresholds."""
    model = _load(detector)
    card = {**model.card, "thresholds": model.thresholds}
    print(json.dumps(card, indent=1, ensure_ascii=False, default=dict))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def main() -> None:
    """Run from the command line; see `EPILOG` for the exit status."""
    os.environ.setdefault("MPLBACKEND", "agg")  # opens no window
    app(prog_name="python -m ganlib" if sys.argv[0].endswith(".py") else "ganlib")


if __name__ == "__main__":
    main()
