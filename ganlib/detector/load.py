"""Loading a saved model without running anything that a file brings along.

A `.keras` file is an archive of a description (`config.json`), from which Keras makes the model,
and its weights. Keras's `safe_mode` refuses lambdas; here everything is refused that ganlib's own
`save` does not write, and that before Keras sees the file.
"""

import io
import json
import warnings
import zipfile
from pathlib import Path

import h5py
import keras

from ganlib.detector import detector  # noqa: F401
from ganlib.errors import GanlibError

# Loading a model needs its class.
from ganlib.models import (  # noqa: F401
    anogan,
    autoencoder,
    dcgan,
    fanogan,
    ganomaly,
    published,
)

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
# Modules of Keras all of whose classes only compute.
MODULES = {
    "keras.constraints",
    "keras.dtype_policies",
    "keras.initializers",
    "keras.optimizers",
    "keras.optimizers.schedules",
    "keras.regularizers",
}
# Of modules that also have classes which run code or read files (Lambda, TFSMLayer, lookups):
# what image networks are made of.
CLASSES = {
    "keras": {"DTypePolicy", "Sequential"},
    "keras.layers": {
        *("Activation", "Add", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D"),
        *("Conv2DTranspose", "Dense", "DepthwiseConv2D", "Dropout", "ELU", "Flatten"),
        *("GaussianNoise", "GlobalAveragePooling2D", "GroupNormalization", "InputLayer"),
        *(
            "LayerNormalization",
            "LeakyReLU",
            "MaxPooling2D",
            "Multiply",
            "PReLU",
            "ReLU",
            "Rescaling",
        ),
        *("Reshape", "SeparableConv2D", "Softmax", "SpectralNormalization"),
        *("UpSampling2D", "ZeroPadding2D"),
    },
    "keras.src.models.functional": {"Functional"},
    None: {"__keras_tensor__"},
}
# Where Keras on PyTorch says that its optimisers are, which other backends cannot import.
TORCH_OPTIMIZERS = "keras.src.backend.torch.optimizers."
# How files begin that are taken for models, and what they are.
KINDS = {
    b"\x89HDF": "an HDF5 file (.h5)",
    b"\x93NUM": "a NumPy file",
    b"\x80": "a pickle, which can run any program when it is loaded",
    b"PK": "an archive that is cut off",
}


def load_model(path: str | Path) -> keras.Model:
    """Load what `save` has written: a detector, a DCGAN or one of their networks.

    The classes need not be imported before. A file is refused if there is anything in it but layers
    of Keras that only compute and classes of ganlib: functions, lambdas and classes of other
    packages can run a program of the file's author on this machine.

    Args:
        path: the `.keras` file.

    Returns:
        The model, with its thresholds if it was calibrated, and its optimiser's state if it was
        compiled. One that was compiled on PyTorch comes uncompiled on other backends: Keras cannot
        make its optimiser there.

    Raises:
        GanlibError: there is no such file, it is damaged or of another kind, there is something in
            it that ganlib does not save, or its weights do not fit the model.

    Example:
        >>> detector = load_model("ganomaly.keras")
        >>> detector.is_anomaly(images)
    """
    path = Path(path)
    _check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            config = json.loads(archive.read("config.json"))
            _check_config(path, config)
            made_by_torch = TORCH_OPTIMIZERS in json.dumps(config.get("compile_config"))
            stepped = _check_weights(path, archive.read("model.weights.h5"))
    except GanlibError:
        raise
    except Exception as error:  # a damaged archive or HDF5 file raises nearly every type
        raise _damaged(path, error) from error
    compiled = keras.backend.backend() == "torch" or not made_by_torch
    try:
        with warnings.catch_warnings():
            # Keras would go on with an optimiser that has forgotten everything.
            action = "error" if stepped else "ignore"
            warnings.filterwarnings(action, "Skipping variable loading for optimizer")
            model = keras.saving.load_model(path, compile=compiled, safe_mode=True)
    except Exception as error:  # whatever a class makes of a wrong argument or a wrong weight
        raise GanlibError(
            f"{path}: its weights or settings do not fit the model that it describes "
            f"({_first_line(error)}). Save the model again with this version of ganlib."
        ) from error
    if not isinstance(model, keras.Model):
        raise GanlibError(f"{path} holds {type(model).__name__}, expected a model.")
    return model


def _check_file(path: Path) -> None:
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is not there"
        raise GanlibError(f"{path} {found}: expected a .keras file that `save` has written.")
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise GanlibError(f"{path} cannot be read: {error.strerror}.") from error
    if path.suffix == ".keras" and zipfile.is_zipfile(path):
        return
    kinds = [kind for beginning, kind in KINDS.items() if start.startswith(beginning)]
    found = kinds[0] if kinds else "of an unknown kind"
    if zipfile.is_zipfile(path):
        found = f"an archive that ends in {path.suffix or 'nothing'}"
    raise GanlibError(
        f"{path} is {found}: expected a .keras file that `save` has written. If it is meant to be "
        "one, copy it again."
    )


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = sorted(member.filename for member in members)
    if names != sorted(MEMBERS):
        odd = [name for name in names if name not in MEMBERS or names.count(name) > 1]
        missing = sorted(MEMBERS - set(names))
        raise GanlibError(
            f"{path} is no model of ganlib: it "
            + (f"also holds {odd[0]!r}." if odd else f"lacks {missing[0]!r}.")
            + " Nothing of it was loaded; get it anew from where it was saved."
        )
    for member in members:
        # Keras stores; what is compressed may become any size.
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise GanlibError(
                f"{path}: {member.filename} is compressed to {member.compress_size} of "
                f"{member.file_size} bytes, `save` compresses nothing. Nothing of it was loaded; "
                "get it anew from where it was saved."
            )
    broken = archive.testzip()
    if broken:
        raise _damaged(path, f"the checksum of {broken} is wrong")


def _check_config(path: Path, config) -> None:
    """Look at every object that the description names and at every word."""
    foreign = {name for name in keras.saving.get_custom_objects() if not _is_ours(name)}
    left = [config]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            # Keras makes an object of a dictionary with a class name.
            if "class_name" in item and not _is_allowed(item):
                raise GanlibError(
                    f"{path} was refused: it asks for {_named(item)}, which could run a program of "
                    "the file's author. Only layers of Keras and classes of ganlib are loaded. If "
                    "you made the file yourself, load it with keras.saving.load_model."
                )
            left += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            left += item
        elif isinstance(item, str) and item in foreign:
            raise GanlibError(
                f"{path} was refused: it names {item!r}, which this program, not ganlib, has "
                "registered with Keras. If you made the file yourself, load it with "
                "keras.saving.load_model."
            )


def _is_allowed(item: dict) -> bool:
    module, name = item.get("module"), item["class_name"]
    registered = item.get("registered_name")
    if not isinstance(name, str) or not isinstance(module, str | None):
        return False
    if isinstance(registered, str) and _is_ours(registered):
        # What is registered counts, not the module that the file names.
        return registered == f"ganlib>{name}" and registered in keras.saving.get_custom_objects()
    if registered not in (None, name):
        return False
    if module in MODULES or str(module).startswith(TORCH_OPTIMIZERS):
        return name[:1].isupper()
    return name in CLASSES.get(module, ())


def _is_ours(registered: str) -> bool:
    return registered.startswith("ganlib>")


def _named(item: dict) -> str:
    parts = [item.get("module"), item["class_name"], item.get("registered_name")]
    return " ".join(str(part)[:80].replace("\n", " ") for part in parts if part)


def _check_weights(path: Path, content: bytes) -> bool:
    """Refuse links to other files, and arrays that are larger than what is stored of them.

    Returns whether there is an optimiser's state: one that has made no step has its number and the
    learning rate alone.
    """
    links, size = [], 0
    with h5py.File(io.BytesIO(content), "r") as file:
        file.visititems_links(lambda name, link: links.append((name, link)))
        for name, link in links:
            if not isinstance(link, h5py.HardLink):
                raise GanlibError(f"{path} was refused: its weights {name!r} are a link elsewhere.")
            item = file[name]
            if isinstance(item, h5py.Dataset):
                size += item.nbytes
                if item.external or item.is_virtual:
                    raise GanlibError(
                        f"{path} was refused: its weights {name!r} lie in another file."
                    )
        stepped = len(file.get("optimizer/vars", ())) > 2
    if size > len(content):
        raise GanlibError(
            f"{path} was refused: its weights claim {size} bytes, but the file holds "
            f"{len(content)} of them."
        )
    return stepped


def _damaged(path: Path, error: object) -> GanlibError:
    return GanlibError(
        f"{path} is damaged: {_first_line(error)}. Copy it again, or save the model again."
    )


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".:")
