"""Describe where results were computed: device, packages and the commit of ganlib."""

import contextlib
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import keras

PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "numpy", "scikit-learn")


def environment() -> dict[str, str]:
    """Return `keras_backend`, `device`, `versions` of Python and packages, and the git `commit`.

    The commit is "unknown" outside git, and ends in "+changes" if files differ from it.
    """
    versions = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    git = ("git", "-C", str(Path(__file__).parents[1]))
    commit = _output(*git, "rev-parse", "--short", "HEAD")
    # Only changes to files that results depend on count. Figures are written by runs.
    sources = (".", "../notebooks", "../requirements.txt")
    changed = commit and _output(*git, "status", "--porcelain", "--", *sources)
    return {
        "keras_backend": keras.backend.backend(),
        "device": device(),
        "versions": ", ".join(versions),
        "commit": (commit or "unknown") + ("+changes" if changed else ""),
    }


def device() -> str:
    """Name the graphics card that Keras computes on, or the processor and its number of cores."""
    if _has_gpu():
        return _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or "GPU"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text() if info.is_file() else "")
    name = found[1] if found else platform.processor() or platform.machine()
    return f"CPU: {name}, {cores} cores"


def _has_gpu() -> bool:
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    return any("gpu" in name.lower() for name in keras.distribution.list_devices())


def _output(*command: str) -> str:
    try:
        out = subprocess.check_output(command, text=True, timeout=20, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    return out.strip()
