"""Random streams and soft shapes that the generated pictures are drawn with.

Everything that is random comes from uniform draws of PCG64, the one stream that NumPy never
changes, and every shape has soft edges. So a last-bit difference between two machines' math
libraries moves a grey level by about 1e-12 and practically never changes a rounded pixel.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from ganlib.errors import GanlibError

TABLE = 1024  # entries of a table over one turn, finer than any picture's pixels at the rim
SMALLEST = 16


def check(
    kinds: Sequence[str], known: tuple[str, ...], seed: int, image_size: int, start: int
) -> None:
    """Refuse arguments that no picture can be drawn from.

    Raises:
        GanlibError: naming the first wrong argument, and what is expected instead.
    """
    if isinstance(kinds, str):
        raise GanlibError(f"kinds is the string '{kinds}'; expected a list with a kind per image")
    for i, kind in enumerate(kinds):
        if kind not in known:
            raise GanlibError(f"kinds[{i}] is {kind!r}; expected one of {', '.join(known)}")
    if image_size < SMALLEST:
        raise GanlibError(f"image_size is {image_size}; expected {SMALLEST} or more")
    if seed < 0 or start < 0:
        raise GanlibError(f"seed is {seed} and start is {start}; expected 0 or more")


def stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """Random stream of one purpose for one picture, independent of all other pictures."""
    # crc32 and not hash(): the latter differs from process to process.
    entropy = np.random.SeedSequence([seed, index, zlib.crc32(purpose.encode())])
    return np.random.Generator(np.random.PCG64(entropy))


def between(
    rng: np.random.Generator, low: float, high: float, n: int | None = None
) -> float | np.ndarray:
    """Uniform draws in low..high: one float, or `n` in an array."""
    return low + (high - low) * rng.random(n)


def pixel_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Column `(1, size)` and row `(size, 1)` of the pixel centres, 0..1."""
    centres = (np.arange(size) + 0.5) / size
    return centres[None, :], centres[:, None]


def inside(distance: np.ndarray, softness: float) -> np.ndarray:
    """Share of a pixel that is covered: 1 where `distance` is negative, 0 where it is positive."""
    return np.clip(0.5 - distance / softness, 0, 1)


def bump(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Round hill: 1 at `centre`, 0 from `width` away from it on."""
    return np.clip(1 - ((x - centre) / width) ** 2, 0, 1)


def mix(under: np.ndarray, over: np.ndarray | float, cover: np.ndarray) -> np.ndarray:
    """Paint `over` on `under` with opacity `cover`, 0..1."""
    return under + (over - under) * cover


def _spline(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights of the four nearest knots of a cubic B-spline, `t` in 0..1 between the middle two."""
    return (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )


def loop_noise(rng: np.random.Generator, knots: int) -> np.ndarray:
    """Smooth random loop `(TABLE,)` in about -1..1 with `knots` random values in one turn."""
    values = between(rng, -1.5, 1.5, knots)
    position = np.arange(TABLE) * (knots / TABLE)
    first = position.astype(np.int64)
    weights = _spline(position - first)
    return sum(w * values[(first + k) % knots] for k, w in enumerate(weights))


def field_noise(
    rng: np.random.Generator, size: int, octaves: Sequence[int], gain: float
) -> np.ndarray:
    """Fractal noise `(size, size)` in about -1..1.

    Args:
        rng: stream that is drawn from.
        size: side of the field in pixels.
        octaves: cells along the side in each layer, coarse to fine.
        gain: strength of a layer relative to the coarser one before it.

    Returns:
        float64 `(size, size)`.
    """
    total = np.zeros((size, size))
    strength, power = 1.0, 0.0
    for cells in octaves:
        knots = between(rng, -1, 1, (cells + 3) * (cells + 3)).reshape(cells + 3, cells + 3)
        position = (np.arange(size) + 0.5) * (cells / size)
        first = position.astype(np.int64)
        weights = _spline(position - first)
        rows = sum(w[:, None] * knots[first + k] for k, w in enumerate(weights))
        across = np.ascontiguousarray(rows.T)
        # Interpolated rows first, then columns, by adding arrays: a matrix product would let the
        # linear algebra library choose the order of the sums.
        layer = sum(w[:, None] * across[first + k] for k, w in enumerate(weights)).T
        total += strength * layer
        power += strength**2
        strength *= gain
    return total * (2 / np.sqrt(power))


def lookup(table: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Values of a table over one turn at `angle`, interpolated."""
    position = angle * (len(table) / (2 * np.pi))
    first = np.floor(position)
    index = first.astype(np.int64) % len(table)
    step = np.roll(table, -1) - table
    return table[index] + step[index] * (position - first)


def to_uint8(levels: np.ndarray) -> np.ndarray:
    """Round grey levels to 0..255."""
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
