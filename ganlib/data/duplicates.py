"""Find near-duplicates: the same picture rotated, mirrored, straightened or brightened.

1. *Pose.* The center and second moments of an image, weighted by the squared contrast, give the
   position and the stretch of its content. Undoing them removes shifts, zooms and slants. They are
   computed twice, the second time in the window found by the first.
2. *Rings.* The straightened image is sampled on rings around its center. The mean of each ring,
   which all round parts share, is subtracted. Scaling to length 1 removes brightness and contrast.
3. *Rotation.* The similarity of two images is the largest correlation of their rings over all
   rotations, also mirrored. Fourier transforms along the rings give all rotations at once.

If the object lies within the frame, as castings do, copies rotated by any angle are found. If the
picture fills it, only copies by flips and quarter turns are. Two photographs of one part are not
copies. Images are uint8 `(n, height, width, channels)`, 0..255; their channels are averaged.
Reference: Rothe, Susse and Voss, "The method of normalization to determine invariants", IEEE TPAMI
18 (1996) 366-376, for the pose. Deviation: no moments above second order; rotations are searched.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.fft import irfft
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ganlib.data.dataset import Dataset
from ganlib.data.images import VERSION as DECODE_VERSION
from ganlib.data.images import read_rows
from ganlib.data.loading import load_images
from ganlib.errors import GanlibError
from ganlib.files import write_safely

VERSION = 1  # in the cache's file name: increment it when the result of `groups_of` changes
# Copies are closer than this: every normal casting has another one within 0.010; different
# photographs are at least 0.040 apart.
THRESHOLD = 0.02
SIZE = 128  # pixels; at 64 the grain that distinguishes castings is lost, and so is the gap
RINGS, ANGLES = 16, 64
INNER, OUTER = 0.2, 2.0  # ring radii in standard deviations; 2 reaches the edge of a disc
CHUNK, PAIRS = 256, 2**19  # images described and pairs compared at a time, about 250 MB


def near_duplicate_groups(
    images: np.ndarray, threshold: float = THRESHOLD, rows: np.ndarray | None = None
) -> np.ndarray:
    """Group images, or those of some `rows`, so that near-duplicates share a group.

    A chain of images, each closer to the next than the threshold, is one group (single linkage).
    Return every image's group, int64 `(n,)`, numbered from 0 in the order of its first image.
    """
    codes = _describe(images, rows)
    groups = np.arange(len(codes))
    for start, distances in _distances(codes, codes, later=True):
        near, other = np.nonzero(distances < threshold)
        # Edges between groups found so far: all near pairs would not fit in memory.
        ends = groups[near + start], groups[other + start]
        graph = coo_array((np.ones(len(near), bool), ends), shape=(len(codes), len(codes)))
        groups = connected_components(graph, directed=False)[1][groups]
    return pd.factorize(groups)[0].astype(np.int64)


def nearest(queries: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index `(n,)` of the reference nearest to each query, and its distance.

    The distance is 1 - correlation, float32 `(n,)`: 0 (a copy) to 2; unrelated images are near 1.
    """
    codes, among = _describe(queries), _describe(references)
    if not len(among):
        raise GanlibError("There are no reference images: nearest neighbors need at least one.")
    index, distance = np.empty(len(codes), np.int64), np.empty(len(codes), np.float32)
    for start, distances in _distances(codes, among):
        rows = slice(start, start + len(distances))
        index[rows], distance[rows] = distances.argmin(1), distances.min(1)
    return index, distance


def groups_of(dataset: Dataset, threshold: float = THRESHOLD) -> np.ndarray:
    """Group the images of a data set that are copies of one picture: each row's group, int64.

    Groups of normal images come first, from 0 in the order of their first row. Anomalies are
    grouped separately, so they do not affect how normal images are held out. Cached on disk.
    """
    name = f"{dataset.name}-{dataset.digest[:12]}-groups-{threshold:g}"
    path = dataset.cache_dir / "cache" / f"{name}-v{DECODE_VERSION}.{VERSION}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):  # absent or broken
        groups = np.load(path)
        if groups.shape == (len(dataset.files),) and groups.dtype == np.int64:
            return groups
    images, labels = images_to_compare(dataset), dataset.files["label"].to_numpy()
    groups, count = np.empty(len(labels), np.int64), 0
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        groups[rows] = count + near_duplicate_groups(images, threshold, rows)
        count = groups[rows].max(initial=count - 1) + 1
    write_safely(path, lambda temporary: np.save(temporary, groups))
    return groups


def images_to_compare(dataset: Dataset) -> np.ndarray:
    """Load images in grey, 128x128, squeezed: letterbox bars would make all images alike."""
    return load_images(replace(dataset, resize="squeeze"), SIZE, 1)


def _describe(images: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return the spectra of the rings of straightened images, `(n, ANGLES // 2 + 1, RINGS)`."""
    if images.ndim != 4 or images.dtype != np.uint8:
        found = f"Images {images.shape} of type {images.dtype} cannot be compared"
        raise GanlibError(f"{found}: expected (n, height, width, channels) and uint8.")
    rows = np.arange(len(images)) if rows is None else rows
    codes = np.empty((len(rows), ANGLES // 2 + 1, RINGS), np.complex64)
    for start in range(0, len(rows), CHUNK):
        grey = read_rows(images, rows[start : start + CHUNK]).mean(3, dtype=np.float32)
        rings = _read_rings(grey, *_pose(grey))
        rings -= rings.mean(2, keepdims=True)
        length = np.sqrt(np.square(rings).sum((1, 2), keepdims=True))
        rings = np.where(length > 1e-3, rings / np.maximum(length, 1e-3), 0)  # not amplifying noise
        codes[start : start + CHUNK] = np.fft.rfft(rings, axis=2, norm="ortho").transpose(0, 2, 1)
    return codes


def _pose(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the center `(n, 2)` and the root of the covariance `(n, 2, 2)` of images' content.

    Coordinates of images `(n, height, width)` are (y, x), from -1 to 1 in both directions.
    """
    n, *sides = grey.shape
    middles = ((2 * np.arange(side) + 1) / side - 1 for side in sides)
    places = np.stack(np.meshgrid(*middles, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    powers = np.stack([*places.T, places[:, 0] ** 2, places.prod(1), places[:, 1] ** 2], -1)
    grey = grey.reshape(n, -1)
    # The first window: outside this disc, a rotated copy has filled corners.
    disc = (np.hypot(*places.T) <= 1).astype(np.float32)
    centre = np.zeros((n, 2), np.float32)
    root = np.tile(np.eye(2, dtype=np.float32) / OUTER, (n, 1, 1))
    for _ in range(2):
        inverse = np.linalg.inv(root)
        # |inverse (place - centre)|^2, expanded to a product with the powers of the places
        square = inverse @ inverse
        linear = np.einsum("nij,nj->ni", square, centre)
        quadratic = square.reshape(n, 4)[:, [0, 1, 3]] * np.float32([1, 2, 1])
        factors = np.concatenate([-2 * linear, quadratic], 1)
        radius = factors @ powers.T + np.einsum("ni,ni->n", linear, centre)[:, None]
        radius = np.sqrt(np.maximum(radius, 0)) / OUTER
        window = np.clip((1.05 - radius) / 0.1, 0, 1) * disc  # with a soft edge
        mean = (grey * window).sum(1) / window.sum(1)
        # One grey level is added so that a flat image has a pose too: that of the window.
        weight = (np.square(grey - mean[:, None]) + 1) * window
        moments = weight @ powers / weight.sum(1)[:, None]
        centre, covariance = moments[:, :2], moments[:, [2, 3, 3, 4]].reshape(-1, 2, 2)
        covariance = covariance - centre[:, :, None] * centre[:, None, :]
        # Square root of a 2x2 matrix in closed form
        area = np.sqrt(np.maximum(np.linalg.det(covariance), 1e-12))[:, None, None]
        trace = np.trace(covariance, axis1=1, axis2=2)[:, None, None]
        root = (covariance + area * np.eye(2)) / np.sqrt(trace + 2 * area)
    return centre, root


def _read_rings(grey: np.ndarray, centre: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Sample images on rings around their centers, `(n, RINGS, ANGLES)`, weighted by area."""
    radii = INNER + (OUTER - INNER) * (np.arange(RINGS) + 0.5) / RINGS
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    places = np.stack([np.outer(radii, np.sin(angles)), np.outer(radii, np.cos(angles))])
    size, rings = np.array(grey.shape[1:])[:, None], np.empty((len(grey), RINGS, ANGLES), "f4")
    for image, middle, stretch, ring in zip(grey, centre, root, rings, strict=True):
        pixels = (stretch @ places.reshape(2, -1) + middle[:, None] + 1) * size / 2 - 0.5
        ring[:] = map_coordinates(image, pixels, order=1, mode="nearest").reshape(ring.shape)
    return rings * np.sqrt(radii)[:, None].astype(np.float32)


def _distances(queries: np.ndarray, references: np.ndarray, later: bool = False) -> Iterator:
    """Compare spectra: yield the first row of a chunk of queries, and their distances `(rows, m)`.

    `later` skips the references before a chunk's first row.
    """
    columns = np.ascontiguousarray(references.transpose(1, 2, 0))
    step = max(1, PAIRS // 2 // max(1, len(references)))
    for start in range(0, len(queries), step):
        chunk = queries[start : start + step].transpose(1, 0, 2)
        others = columns[:, :, start:] if later else columns
        alike = np.full((chunk.shape[1], others.shape[2]), -1, np.float32)
        for turned in (chunk.conj(), chunk):  # as it is, and mirrored
            # The inverse transform of the product is the correlation at every rotation.
            turns = irfft(turned @ others, n=ANGLES, axis=0, overwrite_x=True, workers=-1)
            # Both spectra carry 1/sqrt(ANGLES), their product's inverse another 1/ANGLES.
            np.maximum(alike, turns.max(0) * ANGLES, out=alike)
        yield start, np.maximum(1 - alike, 0)
