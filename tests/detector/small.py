"""Sizes and images shared by the tests in this folder."""

from ganlib.data.synthetic import casting_images

SMALL = {"image_size": 32, "channels": 1, "latent_dim": 6, "filters": 4}
GOOD = casting_images(["normal"] * 60, 0, 32)
CARD = {"images": "drawn", "counts": [16, 24], "resize": "letterbox", "false_alarm_rate": 0.1}
