"""Find unwanted output of libraries in notebooks."""

import re

NOISE = re.compile("WARNING|E0000|absl", re.IGNORECASE)


def noise(notebook):
    """Return the outputs that contain log messages or warnings of libraries."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    texts = [each.get("text") or each.get("data", {}).get("text/plain", "") for each in outputs]
    return [text for text in map("".join, texts) if NOISE.search(text)]
