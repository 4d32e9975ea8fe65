"""The command line: train a detector on a folder, score images with it, export it."""
# ruff: noqa: B008

import functools
import itertools
import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Literal

import typer
import typer.core

from ganlib import import_keras
from ganlib.errors import GanlibError
from ganlib.files import only_one, remove_unfinished, shown, write_safely

warnings.filterwarnings("ignore", module="PIL")  # about readable files

EPILOG = """
Example:

  python -m ganlib train parts/ --output parts.keras --minutes 5

  python -m ganlib score parts.keras new/ --csv scores.csv --report report.html

  python -m ganlib export parts.keras parts.onnx

Exit status: 0 success, 1 anomalies found (only with --fail-on-anomaly), 2 error, 130 interrupted.
"""
_say = functools.partial(typer.echo, err=True)


class _Commands(typer.core.TyperGroup):
    def invoke(self, context):
        try:
            return super().invoke(context)
        except GanlibError as error:
            _say(f"Error: {error}")
        except OSError as error:
            what = error.strerror or type(error).__name__
            _say(f"Error: {shown(error.filename or 'A file')}: {what}.")
        except KeyboardInterrupt:
            _say("\nInterrupted. Run the same command again to continue.")
            raise typer.Exit(130) from None
        raise typer.Exit(2)


HELP = "Find defects in images with a model trained on good images only."
PLAIN = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}
app = typer.Typer(cls=_Commands, help=HELP, epilog=EPILOG, no_args_is_help=True, **PLAIN)


def _file(suffix: str, help: str, *names: str):
    def check(path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() != suffix:
            raise typer.BadParameter(f"{path} does not end in {suffix}.")
        return path

    return typer.Option(None, *names, dir_okay=False, callback=check, help=help)


SHOWN = ("images", "method", "backbone", "weights", "image_size", "trained_on", "train_seconds")
SHOWN += ("calibrated_on", "held_out_pictures", "lowest_rate", "false_alarm_rate", "made")
FOLDER = "Good images, or a data set: train/good, test/good, test/<kind>, ground_truth/<kind>."
RATE = {"min": 0.0001, "max": 0.9999, "help": "Share of good images that may be flagged."}
FILE = "MobileNetV2 weights pretrained on ImageNet.  [default: downloaded by Keras]"
SIZE = "32, 64, 128 or 256 pixels.  [default: depends on the method]"
RESIZE = "How to make images square: add black bars, crop, or squeeze."
DETECTOR = typer.Argument(help="A file written by `train`.", metavar="DETECTOR")
ON_ERROR = typer.Option("raise", help="Stop at an unreadable image, or skip it.")
FAIL = "Exit with status 1 if any image is flagged."


@app.command()
def train(
    folder: Path = typer.Argument(help=FOLDER),
    output: Path | None = _file(".keras", "[default: FOLDER.keras]", "--output", "-o"),
    method: str = typer.Option("auto", help="auto (the best of several) or a name: GANomaly, ..."),
    minutes: float = typer.Option(5.0, min=0.0001, help="Time limit for training, in minutes."),
    steps: int | None = typer.Option(None, min=1, help="Training steps."),
    image_size: int | None = typer.Option(None, help=SIZE),
    channels: int | None = typer.Option(None, help="1 (grey) or 3.  [default: as the images]"),
    filters: int = typer.Option(16, help="Width of the networks."),
    resize: Literal["letterbox", "crop", "squeeze"] = typer.Option("letterbox", help=RESIZE),
    false_alarm_rate: float = typer.Option(0.05, **RATE),
    seed: int = typer.Option(0, help="Seed for weights, order and held-out images."),
    weights: Path | None = typer.Option(None, dir_okay=False, envvar="GANLIB_WEIGHTS", help=FILE),
    on_error: Literal["raise", "skip"] = ON_ERROR,
) -> None:
    """Train a detector on good images.

    A fifth is held out to choose the threshold. To continue an interrupted run, repeat the command.
    """
    _import_keras()
    from ganlib import data
    from ganlib.detector.report import chosen_from, findings
    from ganlib.detector.train import judge, train_detector
    from ganlib.settings import settings

    output = output or Path(f"{folder.resolve().name}.keras")
    work = output.parent / f".{output.name}.unfinished"  # stays if training is interrupted
    remove_unfinished(output.parent, output.name)
    with only_one(work, f"training {shown(output)}", wait=0):
        try:
            options = {"resize": resize, "on_error": on_error, "on_message": _say}
            dataset = data.open_dataset(f"{folder}/", data_dir=work, **options)
            split, note = data.held_out_split(dataset, seed=seed)
            lengths = {"steps": steps, "dcgan_steps": steps}
            sizes = {"filters": filters, "channels": channels or data.channels_of(dataset)}
            chosen = settings("quick", f"{folder}/", **sizes, **lengths)
            about = (dataset, split, chosen, work / "training" / "checkpoint.npz", minutes, seed)
            about += (false_alarm_rate, (note,), method, image_size, weights)
            detector, _ = train_detector(*about)
            write_safely(output, detector.save)  # before the test, which may fail
            detector.card = {**detector.card, "test": judge(detector, dataset, split)}
            write_safely(output, detector.save)
        finally:
            if not list(work.glob("training/checkpoint*.npz")):
                shutil.rmtree(work, ignore_errors=True)
    steps = "{steps} steps in {train_seconds:.0f} s.".format(**detector.card)
    lines = [steps, *chosen_from(detector.card), *detector.card["notes"], *findings(detector.card)]
    _say("\n".join(lines))
    print(output)


@app.command()
def sets(
    folders: list[Path] = typer.Argument(help=FOLDER),
    methods: str = typer.Option("", help="Names, such as auto,GANomaly.  [default: all]"),
    minutes: float = typer.Option(5.0, min=0.0001, help="Time limit per training, in minutes."),
    seed: int = typer.Option(0, help="Seed for weights, order and held-out images."),
    output: Path = typer.Option("runs/sets", file_okay=False, help="Folder to write to."),
) -> None:
    """Compare methods on folders with test images. Run it again to continue from runs/sets/."""
    _import_keras()
    from ganlib.sets import RUNS, compare

    names = [name.strip() for name in methods.split(",") if name.strip()]
    with only_one(RUNS, "comparing sets", wait=0):
        table = compare(folders, names, minutes, seed, output, _say)
    print(output / "results.csv", output / "sets.png", sep="\n")
    if failed := table["error"].count():
        raise GanlibError(f"{failed} of {len(table)} failed: see column error in results.csv.")


def _import_keras() -> None:
    try:
        import_keras()
    except (ImportError, ValueError) as error:
        asked = "the environment variable KERAS_BACKEND and keras.json in ~/.keras or KERAS_HOME"
        raise GanlibError(f"Keras cannot start: {error}. Check {asked}.") from error
    import keras

    keras.config.set_image_data_format("channels_last")  # override keras.json
    keras.config.set_floatx("float32")


def _load(path: Path):
    from ganlib.detector import Detector, load_model

    model = load_model(path)
    if not isinstance(model, Detector):
        name = type(model).__name__
        raise GanlibError(f"{path} holds {name}, not a detector: see python -m ganlib train.")
    return model


@app.command()
def score(
    detector: Path = DETECTOR,
    images: list[Path] = typer.Argument(help="Image files and folders of images."),
    csv: Path | None = _file(".csv", "Write a table of scores."),
    report: Path | None = _file(".html", "Write an HTML page with pictures."),
    heatmaps: Path | None = typer.Option(None, file_okay=False, help="Folder for heat maps."),
    false_alarm_rate: float | None = typer.Option(None, **RATE),
    on_error: Literal["raise", "skip"] = ON_ERROR,
    fail_on_anomaly: bool = typer.Option(False, "--fail-on-anomaly", help=FAIL),
) -> None:
    """Score images.

    Without --csv, --report or --heatmaps, print one line per image: verdict, score, file. With any
    of them, an interrupted run continues if you repeat the command.
    """
    from tqdm import tqdm

    _import_keras()
    from ganlib.data.folder import folders_below, passed_over
    from ganlib.detector.report import findings, headline
    from ganlib.detector.score import Outputs, find_images, score_files

    files = find_images(images)
    model = _load(detector)
    if false_alarm_rate is not None:
        model.set_rate(false_alarm_rate)
    outputs = Outputs(csv, report, heatmaps)
    print_lines = not any(outputs)
    with tqdm(total=len(files), desc="scoring", unit="image", disable=None, mininterval=10) as bar:

        def on_scored(entry):
            bar.update()
            if print_lines and entry.error:
                print(f"UNREADABLE\t\t{shown(entry.file)}\t{shown(entry.error)}")
            elif print_lines:
                words = ["ANOMALY" if entry.is_anomaly else "normal", f"{entry.score:.4g}"]
                print(*words, shown(entry.file), *entry.remarks, sep="\t")

        counts = score_files(model, files, outputs, detector.name, images, on_error, on_scored)
    folders = itertools.chain.from_iterable(map(folders_below, filter(Path.is_dir, images)))
    for sentence in passed_over(folders):
        _say(sentence)
    for remark, count in counts.remarks.items():
        _say(f"{count:,} of {counts.scored:,} images have {remark}.")
    summary = headline(counts.anomalies, counts.scored, model.card.get("false_alarm_rate"))
    summary += f" {counts.unreadable} unreadable." if counts.unreadable else ""
    print(summary, file=sys.stderr if print_lines else sys.stdout)
    _say(" ".join(findings(model.card)))
    for path in filter(None, outputs):
        print(path)
    if not counts.scored:
        raise GanlibError(f"None of {counts.unreadable} images could be read: nothing was scored.")
    if fail_on_anomaly and counts.anomalies:
        raise typer.Exit(1)


@app.command()
def export(
    detector: Path = DETECTOR,
    output: Path = typer.Argument(help="Output path, with the suffix of the format."),
    format: Literal["onnx", "litert", "saved_model", "openvino"] = typer.Option(
        "onnx", help="Suffix: .onnx, .tflite, none (a folder), .xml."
    ),
) -> None:
    """Export a detector and a JSON file for programs without Keras."""
    _import_keras()
    from ganlib.detector.export import export as write

    for path in write(_load(detector), output, format):
        print(path)


@app.command()
def inspect(
    detector: Path = DETECTOR,
    as_json: bool = typer.Option(False, "--json", help="Print the whole card as JSON."),
) -> None:
    """Print a detector's card: images, training, threshold, tests."""
    _import_keras()
    from ganlib.detector.report import findings

    model = _load(detector)
    card = {**model.card, "thresholds": model.thresholds}
    if as_json:
        print(json.dumps(card, indent=1, ensure_ascii=False, default=dict))
        return
    shown = {name: card[name] for name in SHOWN if name in card}
    lines = {n: [f"{v:.3g}" if isinstance(v, float) else v] for n, v in shown.items()}
    for name, values in (lines | {"notes": card.get("notes", []), "test": findings(card)}).items():
        for value in values:
            print(f"{name.replace('_', ' '):<18}{value}")


def main() -> None:
    """Run from the command line."""
    os.environ.setdefault("MPLBACKEND", "agg")  # open no window
    for stream in (sys.stdout, sys.stderr):  # may lack characters of file names
        stream.reconfigure(errors="backslashreplace")
    app()


if __name__ == "__main__":
    main()
