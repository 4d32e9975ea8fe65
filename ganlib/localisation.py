"""Where the defect is: heat maps judged by masks, pixel by pixel and region by region."""

import numpy as np
from scipy import ndimage
from sklearn import metrics

from ganlib.errors import GanlibError

TOUCHING = np.ones((3, 3), bool)  # pixels that touch at a corner are one region, as in MVTec's code


def pixel_auroc(masks: np.ndarray, heat_maps: np.ndarray) -> float:
    """Say how well a heat map tells defective pixels from normal ones: the AUROC over all pixels.

    Large defects decide it, as they have most of the pixels: see `pro`.

    Args:
        masks: bool `(n, height, width)`, True on a defect, all False for a normal image.
        heat_maps: `(n, height, width)`, higher is more anomalous, on one scale for all images.

    Returns:
        The AUROC, 0..1, 0.5 for guessing.

    Raises:
        GanlibError: the shapes differ, a value is not finite, or there are no pixels of one label.
    """
    masks, heat_maps = _checked(masks, heat_maps)
    return float(metrics.roc_auc_score(masks.ravel(), heat_maps.ravel()))


def pro(masks: np.ndarray, heat_maps: np.ndarray, limit: float = 0.3) -> float:
    """Say how much of each defect a heat map covers: the area under the per-region overlap.

    At every threshold each region of defective pixels that hang together counts by the share of it
    that lies above, whatever its size; the mean over all regions is drawn against the share of
    normal pixels that lie above too, and integrated up to `limit` of these.

    Args:
        masks: bool `(n, height, width)`, True on a defect, all False for a normal image.
        heat_maps: `(n, height, width)`, higher is more anomalous, on one scale for all images.
        limit: share of normal pixels up to which is integrated, above 0, up to 1: maps that call
            more of a good image defective are of no use.

    Returns:
        The area divided by `limit`, 0..1. Guessing gives limit / 2.

    Raises:
        GanlibError: as for `pixel_auroc`, or `limit` is out of range.

    Reference:
        Bergmann, Batzner, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection Dataset", IJCV
        129 (2021) 1038-1059, section 5.
    """
    if not 0 < limit <= 1:
        raise GanlibError(f"limit is {limit:g}: choose one above 0 and up to 1.")
    masks, heat_maps = _checked(masks, heat_maps)
    # With each pixel of a region weighing as much as the region is small, the share of defective
    # pixels found is the mean overlap, and the curve a weighted ROC curve.
    weights = np.ones(masks.shape)
    for mask, weight in zip(masks, weights, strict=True):
        regions, _ = ndimage.label(mask, TOUCHING)
        sizes = np.bincount(regions.ravel())
        weight[mask] = 1 / sizes[regions[mask]]
    false, overlap, _ = metrics.roc_curve(
        masks.ravel(), heat_maps.ravel(), sample_weight=weights.ravel(), drop_intermediate=False
    )
    within = false <= limit
    ends = np.append(false[within], limit), np.append(overlap[within], 0.0)
    ends[1][-1] = np.interp(limit, false, overlap)
    return float(metrics.auc(*ends) / limit)


def _checked(masks: np.ndarray, heat_maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return masks as bool and heat maps as they are, if they can be judged."""
    masks, heat_maps = np.asarray(masks, dtype=bool), np.asarray(heat_maps)
    if masks.ndim != 3 or masks.shape != heat_maps.shape:
        raise GanlibError(
            f"masks of shape {masks.shape} and heat maps of shape {heat_maps.shape} do not match: "
            "expected (n, height, width) of both."
        )
    if not masks.any() or masks.all():
        raise GanlibError(
            f"{int(masks.sum())} of {masks.size} pixels are of a defect: some have to be, and some "
            "not, to tell how well they are told apart."
        )
    if not np.isfinite(heat_maps).all():
        raise GanlibError("The heat maps hold values that are not finite: check the detector.")
    return masks, heat_maps
