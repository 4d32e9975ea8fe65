"""Load a saved model without running, unpickling or deserializing anything from the file.

Models are described in plain JSON: the name of a class known to this process, and its arguments.
"""

import io
import json
import warnings
import zipfile
from pathlib import Path

import h5py

import ganlib.detector.detector
import ganlib.models  # noqa: F401  (registers its classes and those in GANLIB_MODELS)
from ganlib.errors import GanlibError
from ganlib.files import shown
from ganlib.models.base import Trainable, construct

MEMBERS = ["config.json", "metadata.json", "model.weights.h5"]


def load_model(path: str | Path) -> Trainable:
    """Load a detector or model written by `save`; it is not compiled.

    To load your own model, import its module first or name its file in GANLIB_MODELS. Raise a
    GanlibError if the file is missing or is not a complete, registered model.
    """
    path = Path(path)
    if path.suffix != ".keras" or not path.is_file() or not zipfile.is_zipfile(path):
        found = "is not a .keras file" if path.exists() else "does not exist"
        raise GanlibError(f"{shown(path)} {found}: expected a complete file written by `save`.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
            description = json.loads(archive.read("config.json"))
            _check_weights(archive.read("model.weights.h5"))
        model = construct(description["registered_name"], description["config"])
        with warnings.catch_warnings(action="error"):  # about weights that Keras does not find
            model.load_weights(path)
    except GanlibError as error:
        raise GanlibError(f"{shown(path)} cannot be loaded: {error}") from error
    except Exception as error:  # a damaged file, or wrong arguments, may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".: ")
        found = f"is damaged, or its weights do not fit the model ({reason})"
        raise GanlibError(f"{shown(path)} {found}. Copy or save it again.") from error
    return model


def _check_members(archive: zipfile.ZipFile) -> None:
    names = sorted(archive.namelist())
    if names != MEMBERS:
        raise GanlibError(f"it holds {', '.join(names)[:200]}; expected {', '.join(MEMBERS)}.")
    for member in archive.infolist():
        # Keras does not compress; a compressed member may expand to any size.
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise GanlibError(f"{member.filename} is compressed, which `save` never does.")
    if broken := archive.testzip():
        raise GanlibError(f"the checksum of {broken} is wrong: copy the file again.")


def _check_weights(content: bytes) -> None:
    """Reject links to other files, and arrays larger than the file."""
    links, size = [], 0
    with h5py.File(io.BytesIO(content), "r") as file:
        file.visititems_links(lambda name, link: links.append((name, link)))
        for name, link in links:
            item = file[name] if isinstance(link, h5py.HardLink) else None
            is_array = isinstance(item, h5py.Dataset)
            if item is None or (is_array and (item.external or item.is_virtual)):
                raise GanlibError(f"its weights {name!r} are a link to another location.")
            size += item.nbytes if is_array else 0
    if size > len(content):
        raise GanlibError(f"its weights claim {size} bytes, but there are {len(content)}.")
