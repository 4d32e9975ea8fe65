"""Draw the castings of `make example`: good ones to train on, and 20 others to score."""

from pathlib import Path

from PIL import Image

from ganlib.data.synthetic import CASTING_KINDS, casting_images

TRAINED_ON = 80
kinds = ["normal"] * (TRAINED_ON + 12) + 2 * list(CASTING_KINDS[1:])
for number, kind in enumerate(kinds):
    (image,) = casting_images([kind], seed=number)  # each shows a different part
    folder = Path("example", "good" if number < TRAINED_ON else "parts")
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.squeeze()).save(folder / f"{kind}_{number:03}.png")
