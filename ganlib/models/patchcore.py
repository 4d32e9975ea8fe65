"""PatchCore: distances of patches to the nearest ones in a bank of patches of good images."""

import numpy as np
from keras import ops
from tqdm import tqdm

from ganlib.models.base import along_both, bilinear, gaussian, predict, scale
from ganlib.models.features import STRIDES, FeatureModel
from ganlib.models.orientation import any_orientation

RESERVOIR = 40_000  # patches that the bank is chosen from
FEW, MANY = 300, 1_200  # images to draw them from: fewer are also rotated, more are sampled
BLOCK = STRIDES[0]  # side of the pixel block that a patch represents


class PatchCore(FeatureModel):
    """Nearest-neighbor detector with a bank of `bank_size` patches that covers all good patches.

    The residual is each place's distance to the nearest patch of the bank; the score is its
    maximum. The reconstruction is a mosaic of those patches. `turns` adds rotated copies if images
    are few; None adds them if objects come in any orientation. `seed` draws copies and patches.

    Reference: Roth et al. 2022 and the authors' code. Deviations: the backbone; channels are
    standardized, not pooled; the bank is chosen using all distances; rotated copies.
    """

    method, window = "PatchCore", 3

    def __init__(self, image_size=256, channels=3, bank_size=4000, turns=None, seed=0, **kwargs):
        super().__init__(image_size, channels, **kwargs)
        self.about["turns"], self.seed = turns, seed
        self.bank = self.memory("bank", bank_size, self.depth)
        self.pixels = self.memory("pixels", bank_size, BLOCK**2 * channels, dtype="uint8")
        smoothing = gaussian(image_size, image_size / 56)  # sigma is 4 pixels at 224
        smoothing /= smoothing.sum(axis=1, keepdims=True)  # a defect at the border counts in full
        self.enlarge = smoothing @ bilinear(image_size, self.places)

    def adapt(self, images):
        """Choose the bank from an equal number of patches per image."""
        random = np.random.default_rng(self.seed)
        if self.about["turns"] is None:
            self.about["turns"] = any_orientation(images)
        n, rounds = len(images), 8 if self.about["turns"] else 1
        turned = 1 + random.random((rounds - 1, n)).argsort(axis=0)
        turns = np.concatenate([np.zeros((1, n), int), turned])  # each unrotated, then others
        rows = np.tile(random.random(n).argsort(), rounds)
        copies = np.stack([rows, turns.ravel()], axis=1)[: np.clip(n, FEW, MANY)]
        kept = RESERVOIR // len(copies)

        def draw(batch):
            seen = np.stack([np.rot90(images[i][:, :: -1 if k > 3 else 1], k) for i, k in batch])
            features = self.extractor.predict_on_batch(scale(seen))
            cut = seen.reshape(-1, self.places, BLOCK, self.places, BLOCK, self.channels)
            parts = features, cut.transpose(0, 1, 3, 2, 4, 5)
            places = random.random((len(batch), self.places**2, 1)).argsort(axis=1)[:, :kept]
            parts = [each.reshape(len(batch), self.places**2, -1) for each in parts]
            return [np.take_along_axis(each, places, axis=1) for each in parts]

        drawn = predict(draw, copies, self.batch)
        patches, pixels = (each.reshape(-1, each.shape[-1]) for each in drawn)
        self.mean.assign(mean := patches.mean(axis=0))
        self.deviation.assign(deviation := np.maximum(patches.std(axis=0), 1e-6))
        patches = (patches - mean) / deviation
        chosen = k_centre(patches, self.bank.shape[0])
        self.bank.assign(patches[chosen])
        self.pixels.assign(pixels[chosen])

    def forward(self, images, training=None):
        """Find the nearest patch of the bank for every place."""
        features = (self.extractor(images, training=False) - self.mean) / self.deviation
        features = ops.reshape(features, (-1, self.places**2, self.depth))
        bank = ops.transpose(self.bank)
        half = ops.sum(bank**2, axis=0) / 2

        def nearest(features):  # of one image: all products at once would not fit in the cache
            return ops.top_k(ops.matmul(features, bank) - half, 1)  # (|f|^2 - |f - b|^2) / 2

        nearness, numbers = ops.map(nearest, features)
        squares = ops.sum(features**2, axis=-1) - 2 * nearness[..., 0]
        shape = (-1, self.places, self.places, BLOCK, BLOCK, self.channels)
        distances = ops.reshape(ops.sqrt(ops.maximum(squares, 0.0)), shape[:3])
        blocks = ops.reshape(ops.take(self.pixels, numbers, axis=0), shape)
        mosaic = ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4, 5)), (-1, *images.shape[1:]))
        residual = along_both(self.enlarge, distances)[..., None]
        return {"reconstruction": scale(mosaic), "residual": residual}

    def score(self, images, outputs):
        """Return the highest value of the map."""
        return ops.max(outputs["residual"], axis=(1, 2, 3))


def k_centre(points: np.ndarray, count: int) -> np.ndarray:
    """Choose `count` of points `(n, depth)`: the first, then the farthest; repeat if too few."""
    squares, chosen = (points**2).sum(axis=1), [0]
    distances = np.full(len(points), np.inf, points.dtype)
    for _ in tqdm(range(count - 1), "choosing patches", disable=None, mininterval=10):
        last = chosen[-1]
        far = squares + squares[last] - points @ (2 * points[last])
        chosen.append(int(np.minimum(distances, far, out=distances).argmax()))
    return np.array(chosen)
