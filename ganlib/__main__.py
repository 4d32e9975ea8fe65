"""The command line: train a detector on a folder, score images with it, hand it on."""

import json
import os
import shutil
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import typer.core

from ganlib.errors import GanlibError
from ganlib.files import remove_unfinished, shown, write_safely

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow is talkative
warnings.filterwarnings("ignore", module="PIL")  # on files that can be read

EPILOG = """
A whole session:

  python -m ganlib train parts/ --output parts.keras --minutes 5

  python -m ganlib score parts.keras new/ --csv scores.csv --report report.html

  python -m ganlib export parts.keras parts.onnx

Exit status: 0 all is well (and, with --fail-on-anomaly, all images are normal), 1 anomalies were
found with --fail-on-anomaly, 2 an error, 130 interrupted.
"""


class _Commands(typer.core.TyperGroup):
    """Say what a user can mend in one line."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except GanlibError as error:
            _say(f"Error: {error}")
        except OSError as error:
            what = error.strerror or type(error).__name__
            _say(f"Error: {shown(error.filename or 'A file')}: {what}.")
        except KeyboardInterrupt:
            _say("\nInterrupted. The same command goes on.")
            raise typer.Exit(130) from None
        raise typer.Exit(2)


app = typer.Typer(
    name="ganlib",
    cls=_Commands,
    help="Find defects in images, with a GAN that has seen good ones only.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class OnError(StrEnum):
    """What to do about an image that cannot be read."""

    RAISE = "raise"
    SKIP = "skip"


class Resize(StrEnum):
    """How images that are not square become square."""

    LETTERBOX = "letterbox"
    CROP = "crop"
    SQUEEZE = "squeeze"


class Format(StrEnum):
    """What a detector can be exported to."""

    ONNX = "onnx"
    LITERT = "litert"
    LITERT_INT8 = "litert-int8"
    SAVED_MODEL = "saved_model"
    OPENVINO = "openvino"


ON_ERROR = typer.Option(help="An image that cannot be read: stop, or leave it out and count it.")
DETECTOR = typer.Argument(help="A file that `train` has written.", metavar="DETECTOR")


@app.command(epilog="Example: python -m ganlib train parts/ -o parts.keras --minutes 5")
def train(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Good images; or train/good with test/good, test/<kind> and ground_truth/<kind>."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The detector. [default: FOLDER.keras]")
    ] = None,
    minutes: Annotated[float, typer.Option(help="The time that training may take.")] = 10.0,
    steps: Annotated[
        int | None, typer.Option(help="The most steps to train. [default: as the profile quick]")
    ] = None,
    image_size: Annotated[int, typer.Option(help="32, 64, 128 or 256 pixels.")] = 64,
    filters: Annotated[int, typer.Option(help="Width of the networks.")] = 16,
    channels: Annotated[
        int | None, typer.Option(help="1 grey, 3 RGB. [default: as the images are]")
    ] = None,
    resize: Annotated[
        Resize, typer.Option(help="Images that are not square: with bars, cut, or squeezed.")
    ] = Resize.LETTERBOX,
    false_alarm_rate: Annotated[
        float, typer.Option(help="Share of good images that may be called anomalies.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Of weights, order and what is held out.")] = 0,
    on_error: Annotated[OnError, ON_ERROR] = OnError.RAISE,
) -> None:
    """Train a detector on good images.

    A fifth of them is held out to choose the threshold by. If the command is interrupted, the same
    command goes on.
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
    from ganlib import data as images_of
    from ganlib import settings as profiles
    from ganlib.detector import train as training

    # What a training that is interrupted goes on from; after anything else nothing is left of it.
    work = output.parent / f".{output.name}.unfinished"
    checkpoint = work / "checkpoint.npz"
    remove_unfinished(output.parent, output.name)  # of a training that was killed as it saved
    try:
        dataset = images_of.open_dataset(
            f"{folder}/", data_dir=work, resize=resize, on_error=on_error, on_message=_say
        )
        split, note = images_of.held_out_split(dataset, seed=seed)
        settings = profiles.settings(
            "quick",
            f"{folder}/",
            image_size=image_size,
            filters=filters,
            channels=channels or images_of.channels_of(dataset),
            steps=steps,
        )
        trained = training.train_detector(
            dataset, split, settings, checkpoint, minutes, seed, false_alarm_rate, (note,)
        )
        detector = trained.detector
        judged = training.judge(detector, dataset, split)
        detector.card = {**detector.card, "test": judged}
        write_safely(output, detector.save)
    finally:
        if not checkpoint.exists():
            shutil.rmtree(work, ignore_errors=True)
    _say(f"{detector.card['steps']} steps in {trained.seconds:.0f} s.")
    for sentence in [*detector.card["notes"], *_told(judged)]:
        _say(sentence)
    print(output)


def _told(judged: dict) -> list[str]:
    """Say what test images showed."""
    told = []
    if "auroc" in judged:
        low, high = judged["auroc_low"], judged["auroc_high"]
        told.append(f"AUROC on the test images {judged['auroc']:.3f} [{low:.3f}, {high:.3f}].")
    if judged.get("n_normal"):
        told.append(
            f"{judged['false_alarm_rate']:.1%} of {judged['n_normal']} good test images are called "
            "anomalies."
        )
    if judged.get("n_anomaly"):
        told.append(
            f"{judged['detection_rate']:.1%} of {judged['n_anomaly']} test anomalies are found."
        )
    return told


def _load(detector: Path):
    """Load a detector, or say what else the file is."""
    from ganlib.detector.detector import Detector
    from ganlib.detector.load import load_model

    model = load_model(detector)
    if not isinstance(model, Detector):
        raise GanlibError(
            f"{detector} holds {type(model).__name__}, expected a detector. Make one of your "
            "images: python -m ganlib train FOLDER."
        )
    return model


@app.command(
    epilog="Example: python -m ganlib score parts.keras new/ --csv scores.csv --report report.html"
)
def score(
    detector: Annotated[Path, DETECTOR],
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    csv: Annotated[Path | None, typer.Option(help="Write a table.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with pictures.")] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(help="Write each image with its heat map to this folder.")
    ] = None,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(help="Use another threshold, for this share. [default: the detector's]"),
    ] = None,
    on_error: Annotated[OnError, ON_ERROR] = OnError.RAISE,
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with 1 if an anomaly is found.")
    ] = False,
) -> None:
    """Score images.

    Without --csv, --report or --heatmaps a line per image is printed: verdict, score, file. With
    them, an interrupted command goes on when it is called again.
    """
    for path, end in ((csv, ".csv"), (report, ".html")):
        if path is not None and (path.suffix.lower() != end or path.is_dir()):
            raise GanlibError(f"{path}: give the name of a file that ends in {end}.")
    if heatmaps is not None and heatmaps.exists() and not heatmaps.is_dir():
        raise GanlibError(f"{heatmaps} is a file: give a folder for the heat maps.")
    from ganlib.detector import score as scoring
    from ganlib.progress import progress

    files = scoring.find_images(images)
    model = _load(detector)
    if false_alarm_rate is not None:
        model.calibrate(model.normal_scores, false_alarm_rate)
        model.card = {**model.card, "false_alarm_rate": false_alarm_rate}
    outputs = scoring.Outputs(csv, report, heatmaps)
    listed = not any(outputs)
    with progress(len(files), "scoring", "image") as advance:

        def answered(entry):
            if listed:
                words = "normal" if entry.is_anomaly is False else "ANOMALY"
                words = entry.error or f"{words}\t{entry.score:.4g}"
                print(f"{words}\t{entry.file}" if not entry.error else f"UNREADABLE\t\t{words}")
            advance()

        counts = scoring.score_files(
            model,
            files,
            outputs,
            detector.name,
            ", ".join(map(str, images)),
            on_error.value,
            answered,
        )
    unread = f" {counts.unreadable} could not be read." if counts.unreadable else ""
    said = f"{counts.anomalies} of {counts.scored} images are called anomalies.{unread}"
    print(said, file=sys.stderr if listed else sys.stdout)
    for path in filter(None, outputs):
        print(path)
    if fail_on_anomaly and counts.anomalies:
        raise typer.Exit(1)


@app.command(epilog="Example: python -m ganlib export parts.keras parts.onnx")
def export(
    detector: Annotated[Path, DETECTOR],
    output: Annotated[
        Path, typer.Argument(help="What to write: a file that ends as the format's do.")
    ],
    to: Annotated[
        Format, typer.Option("--format", help="onnx, openvino: .xml, litert: .tflite.")
    ] = Format.ONNX,
    images: Annotated[
        Path | None,
        typer.Option(help="Good images, for litert-int8: they set the range of every layer."),
    ] = None,
) -> None:
    """Write a detector for programs that have neither ganlib nor Keras.

    Beside it a JSON file tells such a program the rest: sizes, threshold, card.
    """
    from ganlib.data.images import decode
    from ganlib.detector import score as scoring
    from ganlib.detector.export import export as write

    model = _load(detector)
    pixels = None
    if images is not None:
        import numpy as np

        shape = (model.image_size, model.channels, model.resize)
        pixels = np.stack([decode(file, *shape) for file in scoring.find_images([images])[:200]])
    for path in write(model, output, to.value, pixels):
        print(path)


@app.command(epilog="Example: python -m ganlib inspect parts.keras")
def inspect(
    detector: Annotated[Path, DETECTOR],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a detector is: its images, its training, its threshold."""
    model = _load(detector)
    known = {
        **model.card,
        "thresholds": model.thresholds,
        "normal_scores": {
            "n": len(model.normal_scores),
            "lowest": float(model.normal_scores[0]),
            "median": float(model.normal_scores[len(model.normal_scores) // 2]),
            "highest": float(model.normal_scores[-1]),
        }
        if len(model.normal_scores)
        else None,
    }
    if as_json:
        print(json.dumps(known, indent=1, default=dict))
        return
    width = max(map(len, known))
    for name, value in known.items():
        plain = json.dumps(value, default=dict) if not isinstance(value, str) else value
        for line in value if name == "notes" else [plain]:
            print(f"{name:{width}}  {line}")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def main() -> None:
    """Run from the command line; the exit status is told in `EPILOG`."""
    app(prog_name="python -m ganlib" if sys.argv[0].endswith(".py") else "ganlib")


if __name__ == "__main__":
    main()
