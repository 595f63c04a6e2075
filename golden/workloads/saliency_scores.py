"""How far two sets of saliency maps agree, and maps with masks.

Maps are probabilities already, so nothing is normalised: a pixel is inside of what the image is about from 0.5 upwards.
"""

import numpy as np

__all__ = ["THRESHOLD", "correlation", "iou", "mask_scores", "scores"]

#: A pixel is inside from this probability upwards.
THRESHOLD = 0.5


def scores(reference, maps):
    """Compare maps with those of the model that was not changed.

    Parameters
    ----------
    reference, maps : sequence of ndarray
        Finite, of the same shapes, one or more.

    Returns
    -------
    dict
        `correlation` and `iou`, means over the pictures, see those functions.

    Raises
    ------
    ValueError
        When shapes or numbers differ.
    """
    pairs = _pairs(reference, maps)
    return {
        "correlation": float(np.mean([correlation(a, b) for a, b in pairs])),
        "iou": float(np.mean([iou(a >= THRESHOLD, b >= THRESHOLD) for a, b in pairs])),
    }


def mask_scores(masks, maps):
    """Compare maps with masks; None stands for a picture that has none and is not counted.

    Parameters
    ----------
    masks : sequence of ndarray of bool, or None
        Of the shapes of the maps.
    maps : sequence of ndarray

    Returns
    -------
    dict
        `iou`, the mean over the pictures that have a mask, and `pictures`, their number.

    Raises
    ------
    ValueError
        When shapes or numbers differ, and when no picture has a mask.
    """
    kept = [pair for pair in zip(masks, maps, strict=True) if pair[0] is not None]
    pairs = _pairs(*zip(*kept, strict=True)) if kept else []
    if not pairs:
        raise ValueError("no picture has a mask")
    return {"iou": float(np.mean([iou(a, b >= THRESHOLD) for a, b in pairs])), "pictures": len(pairs)}


def correlation(a, b):
    """Pearson's correlation of two maps over the pixels.

    A flat map has none: then it is 1 if both are flat, else 0 (our choice).
    """
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float(np.ptp(a) == np.ptp(b))
    a, b = (x - x.mean() for x in (np.asarray(a, np.float64), np.asarray(b, np.float64)))
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))


def iou(a, b):
    """Pixels that are inside in both over those inside in one, of bool; 1 where neither has any (our choice)."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def _pairs(reference, maps):
    pairs = list(zip(reference, maps, strict=True))
    if not pairs:
        raise ValueError("there is no map to compare")
    for a, b in pairs:
        if np.shape(a) != np.shape(b):
            raise ValueError(f"maps of shapes {np.shape(a)} and {np.shape(b)} cannot be compared")
    return pairs
