"""Pictures for the saliency model: those of installed wheels and a user's own, as the pixels that the model takes.

A picture is made smaller so that its longest side is the model's; a new pixel is the mean of what it covers (Pillow's
BOX filter; a small picture is made larger by its BILINEAR one). It is filled up with black on both sides to a square
and normalised by the mean and standard deviation of ImageNet's channels, as the wheel of the model does, which takes
OpenCV's filter of about the same effect. As maps are compared with those of the same pixels, or with masks that are
resized alike, the filter's last bits do not matter.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..checks import named
from . import installed

__all__ = ["CALIBRATION", "SAMPLES", "SIDE", "Picture", "cropped", "folder", "prepared", "read", "samples"]

#: Longest side of a picture, pixels.
SIDE = 224

_SKLEARN = "sklearn/datasets/images"
_SKIMAGE = "skimage/data"
#: Photographs in the wheels of scikit-learn and scikit-image, none of them in both sets: to test on, ...
SAMPLES = (
    f"{_SKLEARN}/flower.jpg",
    f"{_SKIMAGE}/astronaut.png",
    f"{_SKIMAGE}/camera.png",
    f"{_SKIMAGE}/chelsea.png",
    f"{_SKIMAGE}/coffee.png",
    f"{_SKIMAGE}/rocket.jpg",
)
#: ... and to calibrate on.
CALIBRATION = (f"{_SKLEARN}/china.jpg", f"{_SKIMAGE}/motorcycle_left.png")
_WHEELS = {"sklearn": "scikit-learn", "skimage": "scikit-image"}

_KINDS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG"}
_MASK = ".mask"
_OPAQUE = 255

# Of ImageNet's channels, red first, as parts of white.
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture at the model's size.

    Parameters
    ----------
    name : str
        Of its file.
    pixels : ndarray of uint8, shape (height, width, 3)
        Red, green, blue.
    mask : ndarray of bool, shape (height, width), or None
        True where the picture shows what it is about; None when it came without a mask.
    """

    name: str
    pixels: np.ndarray
    mask: np.ndarray | None = None


def samples(names=SAMPLES, side=SIDE):
    """Pictures of the installed wheels of scikit-learn and scikit-image, which are not imported.

    Parameters
    ----------
    names : sequence of str
        `SAMPLES` or `CALIBRATION`, or some of them.
    side : int
        As of `read`.

    Returns
    -------
    list of Picture

    Raises
    ------
    ModuleNotFoundError
        Without Pillow, extra `model`.
    FileNotFoundError
        When a wheel is not installed; names it.
    """
    wheels = [_WHEELS[name.partition("/")[0]] for name in names]
    return [
        read(installed.file(wheel, name, "name a folder of pictures"), side=side)
        for wheel, name in zip(wheels, names, strict=True)
    ]


def folder(path, side=SIDE):
    """The pictures of a folder: its files that end in .png, .jpg or .jpeg, by name.

    A file ``NAME.mask.png`` (or .jpg) is the mask of the picture of that name, whichever its ending: white is inside.
    Otherwise a PNG's alpha channel is its mask, see `read`.

    Parameters
    ----------
    path : str or Path
    side : int
        As of `read`.

    Returns
    -------
    list of Picture

    Raises
    ------
    ModuleNotFoundError
        Without Pillow, extra `model`.
    ValueError
        When there is no picture, or one is broken, or a mask does not fit; names the file.
    OSError
        When a file cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder, expected one with pictures, {', '.join(_KINDS)}")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in _KINDS and file.is_file())
    masks = {file.stem.removesuffix(_MASK): file for file in files if file.stem.endswith(_MASK)}
    pictures = [file for file in files if not file.stem.endswith(_MASK)]
    lonely = masks.keys() - {file.stem for file in pictures}
    if lonely:
        raise ValueError(f"{masks[min(lonely)]}: a mask, but there is no picture {min(lonely)} beside it")
    if not pictures:
        raise ValueError(f"{path}: no picture in it, {', '.join(_KINDS)}")
    return [read(file, masks.get(file.stem), side) for file in pictures]


def read(path, mask=None, side=SIDE):
    """Read a picture, turned as its file says.

    Parameters
    ----------
    path : str or Path
        A JPEG or PNG file. The colours below a transparent pixel are taken as they are stored.
    mask : str or Path, optional
        Another one, of the same size: it counts from half of white upwards. Without it the alpha channel is the mask,
        from half of opaque upwards, if any pixel is not opaque.
    side : int
        Longest side that the picture gets, 1 or more; the other one is rounded half up, and at least 1 (our choice).

    Returns
    -------
    Picture

    Raises
    ------
    ModuleNotFoundError
        Without Pillow, extra `model`.
    ValueError
        When a file is no picture or a broken one, or the sizes differ; names the file.
    OSError
        When a file cannot be read.
    """
    picture = _decoded(path)
    alpha = picture.getchannel("A")
    if mask is not None:
        alpha = _decoded(mask).convert("L")
        if alpha.size != picture.size:
            raise ValueError(f"{mask}: {_size(alpha)} pixels, but {path} has {_size(picture)}")
    has_mask = mask is not None or alpha.getextrema()[0] < _OPAQUE
    pixels = np.asarray(_fitted(picture.convert("RGB"), side))
    return Picture(Path(path).name, pixels, np.asarray(_fitted(alpha, side)) > _OPAQUE // 2 if has_mask else None)


def prepared(picture, side=SIDE):
    """What the model takes: normalised pixels in the middle of a black square.

    Parameters
    ----------
    picture : Picture
        Its longest side is `side`.
    side : int

    Returns
    -------
    ndarray of float32, shape (3, side, side)

    Raises
    ------
    ValueError
        For another size.
    """
    height, width, _ = picture.pixels.shape
    if max(height, width) != side:
        raise ValueError(f"{picture.name} must have a longest side of {side} pixels, not {width} x {height}")
    square = np.zeros((side, side, 3), np.uint8)
    cropped(square, picture)[:] = picture.pixels
    return ((square / np.float32(_OPAQUE) - _MEAN) / _DEVIATION).transpose(2, 0, 1)


def cropped(square, picture):
    """The part of a square, shape (side, side, ...), in which a picture lies; of an odd border more is behind it."""
    height, width, _ = picture.pixels.shape
    top, left = (len(square) - height) // 2, (len(square) - width) // 2
    return square[top : top + height, left : left + width]


def _decoded(path):
    """A file as a Pillow image of mode RGBA."""
    from PIL import Image, ImageOps

    data = Path(path).read_bytes()
    with named(str(path)), warnings.catch_warnings():
        # One that would fill the memory, and damage that Pillow works around.
        warnings.simplefilter("error")
        try:
            with Image.open(io.BytesIO(data), formats=sorted(set(_KINDS.values()))) as image:
                return _eight_bits(ImageOps.exif_transpose(image)).convert("RGBA")
        except Image.UnidentifiedImageError:
            raise ValueError("no JPEG or PNG picture") from None
        except (Image.DecompressionBombError, OSError, SyntaxError, EOFError, Warning) as error:
            raise ValueError(f"broken picture: {error}") from None


def _eight_bits(image):
    """Sixteen bits of grey are cut to eight; Pillow's own conversion would saturate them."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image, np.int64) >> 8).clip(0, _OPAQUE).astype(np.uint8))


def _fitted(image, side):
    """A Pillow image whose longest side is `side`."""
    from PIL import Image

    longest = max(image.size)
    size = [max(1, (2 * length * side + longest) // (2 * longest)) for length in image.size]
    return image.resize(size, Image.Resampling.BOX if longest > side else Image.Resampling.BILINEAR)


def _size(image):
    return " x ".join(map(str, image.size))
