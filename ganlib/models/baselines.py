"""What a GAN has to beat: four detectors of a few lines, with no network and no training.

Each looks at the normal images to train on and answers for other images as every detector does. All
are plain functions of the two: nothing is drawn, and an image's score depends neither on the other
images nor on their order. Each raises a GanlibError if there are no images, they are not uint8, or
the two are of different sizes.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from ganlib.models.detection import Detection, check_images


def mean_brightness(train: np.ndarray, images: np.ndarray) -> Detection:
    """Score images by how far their mean brightness is from that of normal images.

    The distance counts both ways. Only one way (darker is worse, say) often looks better, but which
    way is known only from anomalies, so it would be chosen on the test images or needs knowledge of
    how they were photographed.

    Args:
        train: uint8 `(n, height, width, channels)`, 0..255, normal images.
        images: uint8 `(m, height, width, channels)`, 0..255.

    Returns:
        A `Detection` for the m images: scores in grey levels, |mean of x - mean of all normal
        pixels|; the reconstruction is the mean normal image.
    """
    train, images = _checked(train, images)
    brightness = images.mean(axis=(1, 2, 3), dtype="float64")
    return _beside_the_mean(train, images, np.abs(brightness - train.mean(dtype="float64")))


def grey_histogram(train: np.ndarray, images: np.ndarray, bins: int = 64) -> Detection:
    """Score images by how unusual their grey levels are, wherever in the image they are.

    The distance is L1, twice the share of pixels that would have to change their level. It needs no
    weights, unlike chi-square, which blows up where normal images have no pixels.

    Args:
        train: uint8 `(n, height, width, channels)`, 0..255, normal images.
        images: uint8 `(m, height, width, channels)`, 0..255.
        bins: number of equal bins of 0..255. 64, four levels each, so that even a bin of a 32x32
            image holds 16 pixels on average and chance counts for little.

    Returns:
        A `Detection` for the m images: scores 0..2, distance of the histogram to the mean histogram
        of normal images, mean over the channels; the reconstruction is the mean normal image.
    """
    train, images = _checked(train, images)
    normal = _histograms(train, bins).mean(axis=0)
    distances = np.abs(_histograms(images, bins) - normal).sum(axis=2).mean(axis=1)
    return _beside_the_mean(train, images, distances)


def nearest_neighbour(train: np.ndarray, images: np.ndarray) -> Detection:
    """Score images by how far the nearest normal image is, pixel by pixel.

    Args:
        train: uint8 `(n, height, width, channels)`, 0..255, normal images.
        images: uint8 `(m, height, width, channels)`, 0..255.

    Returns:
        A `Detection` for the m images: scores in grey levels, Euclidean distance; the
        reconstruction is that training image itself.
    """
    train, images = _checked(train, images)
    # float32 holds 0..255 exactly, and scikit-learn multiplies it piece by piece in float64.
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(_flat(train, "float32"))
    nearest = search.kneighbors(_flat(images, "float32"), return_distance=False)[:, 0]
    made = train[nearest]
    residuals = np.abs(images.astype("float32") - made)
    distances = [np.linalg.norm(residual.astype("float64")) for residual in residuals]
    return Detection(np.array(distances, "float32"), made, residuals)


def pca_reconstruction(train: np.ndarray, images: np.ndarray, n_components: int = 100) -> Detection:
    """Score images by what is lost when they are squeezed into a few principal components.

    That is the best linear autoencoder: beside GANomaly and `Autoencoder` of the same length of z
    it tells what the convolutions are worth.

    Args:
        train: uint8 `(n, height, width, channels)`, 0..255, normal images.
        images: uint8 `(m, height, width, channels)`, 0..255.
        n_components: number of components, as many as the networks' `latent_dim`; fewer if there
            are not so many training images or values per image.

    Returns:
        A `Detection` for the m images: scores in grey levels, mean of |x - projection|, the
        projection limited to 0..255 as the networks' tanh is.
    """
    train, images = _checked(train, images)
    values = _flat(train, "float64")
    pca = PCA(
        min(n_components, *values.shape),
        copy=False,  # centres `values` in place: a second copy of all images would fill the memory
        svd_solver="randomized",
        random_state=0,
    ).fit(values)
    scores = np.empty(len(images), "float32")
    reconstructions = np.empty(images.shape, "uint8")
    residuals = np.empty(images.shape, "float32")
    for i, image in enumerate(images):  # one by one: a batch's size would change the last digits
        projection = pca.inverse_transform(pca.transform(image.reshape(1, -1)))
        made = np.clip(projection, 0, 255).reshape(image.shape)
        difference = np.abs(image - made)
        scores[i] = difference.mean()
        reconstructions[i] = np.rint(made)
        residuals[i] = difference
    return Detection(scores, reconstructions, residuals)


def _checked(train: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Refuse what `check_images` refuses, and images of another size than those to train on."""
    train = check_images(train)
    return train, check_images(images, train.shape[1:])


def _beside_the_mean(train: np.ndarray, images: np.ndarray, scores: np.ndarray) -> Detection:
    """Answer with the mean normal image as the reconstruction of every image."""
    mean = train.mean(axis=0, dtype="float64")
    return Detection(
        scores=scores.astype("float32"),
        reconstructions=np.repeat(np.rint(mean).astype("uint8")[np.newaxis], len(images), axis=0),
        residuals=np.abs(images - mean.astype("float32")),
    )


def _histograms(images: np.ndarray, bins: int) -> np.ndarray:
    """Count shares of grey levels: float64 `(n, channels, bins)`, every row sums to 1."""
    counts = [
        [np.histogram(channel, bins, (0, 256))[0] for channel in np.moveaxis(image, 2, 0)]
        for image in images
    ]
    return np.array(counts) / np.prod(images.shape[1:3])


def _flat(images: np.ndarray, dtype: str) -> np.ndarray:
    return images.reshape(len(images), -1).astype(dtype)


BASELINES = {
    "mean brightness": mean_brightness,
    "grey histogram": grey_histogram,
    "nearest neighbour": nearest_neighbour,
    "PCA": pca_reconstruction,
}
