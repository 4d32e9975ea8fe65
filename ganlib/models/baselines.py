"""Five short baselines that a GAN must beat, without a network to train.

Each takes normal images to train on and images to score, both uint8 `(n, height, width, channels)`
of the same size, and returns a `Detection`. Results are deterministic. A score does not depend on
the other images or their order. Images of another type or size raise a GanlibError.
"""

import numpy as np
from sklearn.covariance import ShrunkCovariance
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from ganlib.models.detection import Detection, check_images


def mean_brightness(train: np.ndarray, images: np.ndarray) -> Detection:
    """Score by the absolute difference between the mean grey level and that of normal images.

    Only anomalies could show which direction is worse. The reconstruction is the mean image.
    """
    train, images = _checked(train, images)
    brightness = images.mean(axis=(1, 2, 3), dtype="float64")
    return _beside_the_mean(train, images, np.abs(brightness - train.mean(dtype="float64")))


def grey_histogram(train: np.ndarray, images: np.ndarray, bins: int = 64) -> Detection:
    """Score by the L1 distance, 0..2, of the grey-level histogram to that of normal images.

    Channels are averaged. The reconstruction is the mean normal image.
    """
    train, images = _checked(train, images)
    normal = _histograms(train, bins).mean(axis=0)
    distances = np.abs(_histograms(images, bins) - normal).sum(axis=2).mean(axis=1)
    return _beside_the_mean(train, images, distances)


def image_statistics(train: np.ndarray, images: np.ndarray) -> Detection:
    """Score by the Mahalanobis distance of six statistics per channel to those of normal images.

    Mean, deviation, mean |gradient|, its ratio to the deviation, 5 % and 95 % quantile; all are
    standardized, with correlations shrunk by 1 %. The reconstruction is the mean normal image.
    """
    train, images = _checked(train, images)
    scaler = StandardScaler()
    normal = ShrunkCovariance(shrinkage=0.01).fit(scaler.fit_transform(_statistics(train)))
    squares = normal.mahalanobis(scaler.transform(_statistics(images)))
    return _beside_the_mean(train, images, np.sqrt(squares))


def nearest_neighbour(train: np.ndarray, images: np.ndarray) -> Detection:
    """Score by the Euclidean distance, in grey levels, to the nearest training image.

    The reconstruction is that training image itself.
    """
    train, images = _checked(train, images)
    # float32 holds 0..255 exactly, and scikit-learn multiplies it in chunks of float64.
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(_flat(train, "float32"))
    nearest = search.kneighbors(_flat(images, "float32"), return_distance=False)[:, 0]
    made = train[nearest]
    residuals = np.abs(images.astype("float32") - made)
    distances = [np.linalg.norm(residual.astype("float64")) for residual in residuals]
    return Detection(np.array(distances, "float32"), made, residuals)


def pca_reconstruction(train: np.ndarray, images: np.ndarray, n_components: int = 100) -> Detection:
    """Score by the mean of |x - projection| in grey levels, on the first principal components.

    This best linear autoencoder shows what convolutions add. Clipped to 0..255, as with tanh.
    """
    train, images = _checked(train, images)
    values = _flat(train, "float64")
    # Without `copy`, PCA centers `values` in place: a second copy would fill the memory.
    options = {"copy": False, "svd_solver": "randomized", "random_state": 0}
    pca = PCA(min(n_components, *values.shape), **options).fit(values)
    found = Detection([], [], [])
    for image in images:  # one by one: the batch size would change the last digits
        projection = pca.inverse_transform(pca.transform(image.reshape(1, -1)))
        made = np.clip(projection, 0, 255).reshape(image.shape)
        difference = np.abs(image - made)
        found.scores.append(np.float32(difference.mean()))
        found.reconstructions.append(np.rint(made).astype("uint8"))
        found.residuals.append(difference.astype("float32"))
    return Detection(*map(np.array, found))


def _checked(train: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    train = check_images(train)
    return train, check_images(images, train.shape[1:])


def _beside_the_mean(train: np.ndarray, images: np.ndarray, scores: np.ndarray) -> Detection:
    mean = train.mean(axis=0, dtype="float64")
    return Detection(
        scores=scores.astype("float32"),
        reconstructions=np.repeat(np.rint(mean).astype("uint8")[np.newaxis], len(images), axis=0),
        residuals=np.abs(images - mean.astype("float32")),
    )


def _histograms(images: np.ndarray, bins: int) -> np.ndarray:
    """Return grey-level histograms, float64 `(n, channels, bins)`; each row sums to 1."""
    counts = [
        [np.histogram(channel, bins, (0, 256))[0] for channel in np.moveaxis(image, 2, 0)]
        for image in images
    ]
    return np.array(counts) / np.prod(images.shape[1:3])


def _statistics(images: np.ndarray) -> np.ndarray:
    """Compute the six statistics of each channel, float64 `(n, 6 * channels)`."""
    rows = []
    for image in images.astype("float32"):
        deviation = image.std((0, 1), dtype="float64")
        gradient = sum(np.abs(np.diff(image, axis=axis)).mean((0, 1)) for axis in (0, 1)) / 2
        roughness = gradient / np.maximum(deviation, 1)  # do not amplify a flat image
        quantiles = np.quantile(image, [0.05, 0.95], axis=(0, 1))
        rows.append([image.mean((0, 1)), deviation, gradient, roughness, *quantiles])
    return np.array(rows).reshape(len(images), -1)


def _flat(images: np.ndarray, dtype: str) -> np.ndarray:
    return images.reshape(len(images), -1).astype(dtype)


BASELINES = {
    "mean brightness": mean_brightness,
    "grey histogram": grey_histogram,
    "image statistics": image_statistics,
    "nearest neighbour": nearest_neighbour,
    "PCA": pca_reconstruction,
}
