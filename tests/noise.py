"""What no output of a notebook may say."""

import re

NOISE = re.compile("WARNING|E0000|absl", re.IGNORECASE)


def noise(notebook):
    """Find the outputs in which a library logs or warns."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    texts = [each.get("text") or each.get("data", {}).get("text/plain", "") for each in outputs]
    return [text for text in map("".join, texts) if NOISE.search(text)]
