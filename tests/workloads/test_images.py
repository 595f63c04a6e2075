"""Pictures: sizes, masks, files of every kind that people have, and the wheels' own."""

import re

import numpy as np
import pytest
from PIL import Image

from bitloom.golden.workloads import images
from bitloom.golden.workloads.images import Picture, cropped, folder, prepared, read, samples


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path, array, **more):
    image = Image.fromarray(array)
    image.save(path, **more)
    return path


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((448, 224), (224, 112)),
        ((224, 448), (112, 224)),
        ((300, 451), (149, 224)),  # 149.002
        ((112, 112), (224, 224)),  # enlarged
        ((1000, 1), (224, 1)),  # never less than one
        ((448, 449), (224, 224)),  # 223.501: half up
    ],
)
def test_the_longest_side_is_the_models(size, fitted, tmp_path):
    picture = read(save(tmp_path / "a.png", noise(*size)))
    assert picture.pixels.shape == (*fitted, 3) and picture.pixels.dtype == np.uint8
    assert picture.mask is None and picture.name == "a.png"


def test_a_pixel_is_the_mean_of_what_it_covers(tmp_path):
    source = noise(16, 8)
    picture = read(save(tmp_path / "a.png", source), side=4)
    means = source.reshape(4, 4, 2, 4, 3).mean(axis=(1, 3))
    # Rounded once for each side.
    assert np.abs(picture.pixels - means).max() <= 1


def test_a_picture_that_fits_is_not_touched(tmp_path):
    source = noise(5, 8)
    np.testing.assert_array_equal(read(save(tmp_path / "a.png", source), side=8).pixels, source)


@pytest.mark.parametrize(("height", "width", "top", "left"), [(8, 5, 0, 1), (4, 8, 2, 0), (8, 8, 0, 0)])
def test_the_border_is_black_and_the_rest_normalised(height, width, top, left):
    picture = Picture("a", noise(height, width))
    x = prepared(picture, 8)
    assert x.shape == (3, 8, 8) and x.dtype == np.float32
    square = np.zeros((8, 8, 3))
    square[top : top + height, left : left + width] = picture.pixels
    expected = (square / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(x, expected.transpose(2, 0, 1), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(cropped(square, picture), picture.pixels)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="a must have a longest side of 8 pixels, not 5 x 7"):
        prepared(Picture("a", noise(7, 5)), 8)


def test_alpha_is_the_mask(tmp_path):
    source = noise(8, 8, 4)
    source[..., 3] = np.where(np.arange(8) < 4, 255, 0)
    source[0, 0, 3], source[0, 7, 3] = 127, 128
    picture = read(save(tmp_path / "a.png", source), side=8)
    # Colours below transparent pixels are as they were.
    np.testing.assert_array_equal(picture.pixels, source[..., :3])
    np.testing.assert_array_equal(picture.mask, source[..., 3] >= 128)


def test_an_opaque_picture_has_no_mask(tmp_path):
    source = noise(8, 8, 4)
    source[..., 3] = 255
    assert read(save(tmp_path / "a.png", source)).mask is None


def test_a_mask_is_made_smaller_like_its_picture(tmp_path):
    source = noise(16, 16, 4)
    source[..., 3] = 0
    source[:8, :9, 3] = 255
    mask = read(save(tmp_path / "a.png", source), side=8).mask
    expected = np.zeros((8, 8), bool)
    expected[:4, :5] = True  # half of a column of pixels is inside: half up
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png(mode, tmp_path):
    grey = noise(8, 8, 1)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
        assert image.mode == mode
    else:
        image = Image.fromarray(grey).convert(mode)
    image.save(tmp_path / "a.png")
    pixels = read(tmp_path / "a.png", side=8).pixels
    expected = np.asarray(image.convert("L")) if mode in ("1", "P") else grey
    np.testing.assert_array_equal(pixels, np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg(mode, tmp_path):
    image = Image.new("L", (16, 8), 100).convert(mode)
    image.save(tmp_path / "a.jpg")
    pixels = read(tmp_path / "a.jpg", side=16).pixels
    assert pixels.shape == (8, 16, 3) and np.abs(pixels.astype(int) - 100).max() <= 2


def test_a_palette_may_be_transparent(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((3, 2), 1)
    image.save(tmp_path / "a.png", transparency=b"\x00\xff")
    picture = read(tmp_path / "a.png", side=8)
    assert picture.mask.sum() == 1 and picture.mask[2, 3]
    assert picture.pixels[2, 3].tolist() == [200, 100, 50] and picture.pixels[0, 0].tolist() == [10, 20, 30]


def test_a_picture_is_turned_as_its_file_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the camera was turned by a quarter
    save(tmp_path / "a.jpg", np.zeros((4, 8, 3), np.uint8), exif=exif)
    assert read(tmp_path / "a.jpg", side=8).pixels.shape == (8, 4, 3)


def test_a_folder_by_name(tmp_path):
    save(tmp_path / "b.PNG", noise(8, 8))
    save(tmp_path / "a.jpg", noise(8, 8))
    half = np.where(np.arange(8) < 4, 255, 0).astype(np.uint8) * np.ones((8, 1), np.uint8)
    save(tmp_path / "a.mask.png", half)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "c.png").mkdir()
    one, other = folder(tmp_path, side=8)
    assert (one.name, other.name, other.mask) == ("a.jpg", "b.PNG", None)
    np.testing.assert_array_equal(one.mask, half > 0)


def complaint(path):
    with pytest.raises(ValueError) as error:
        folder(path)
    assert "\n" not in str(error.value)
    return str(error.value).replace(str(path), "FOLDER")


def test_folders_that_hold_no_pictures(tmp_path):
    assert complaint(tmp_path) == "FOLDER: no picture in it, .jpeg, .jpg, .png"
    assert complaint(tmp_path / "x").startswith("FOLDER: no such folder, expected one with pictures")
    save(tmp_path / "a.mask.png", noise(8, 8, 1))
    assert complaint(tmp_path) == "FOLDER/a.mask.png: a mask, but there is no picture a beside it"


def test_a_mask_of_another_size(tmp_path):
    save(tmp_path / "a.png", noise(8, 4))
    save(tmp_path / "a.mask.png", noise(8, 8, 1))
    assert complaint(tmp_path) == "FOLDER/a.mask.png: 8 x 8 pixels, but FOLDER/a.png has 4 x 8"


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_broken_pictures(kind, tmp_path):
    path = save(tmp_path / f"a.{kind}", noise(64, 64))
    data = path.read_bytes()
    path.write_bytes(b"no picture")
    assert complaint(tmp_path) == f"FOLDER/a.{kind}: no JPEG or PNG picture"
    path.write_bytes(b"")
    assert complaint(tmp_path) == f"FOLDER/a.{kind}: no JPEG or PNG picture"
    path.write_bytes(data[: len(data) // 2])
    assert complaint(tmp_path).startswith(f"FOLDER/a.{kind}: broken picture: ")


def test_damage_is_never_more_than_one_line(tmp_path):
    rng, path, refused = np.random.default_rng(4), tmp_path / "a.png", 0
    data = save(path, noise(32, 32)).read_bytes()
    for _ in range(150):
        damaged = bytearray(data)
        damaged[rng.integers(8, 60)] = rng.integers(256)
        damaged[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert refused > 50


def test_other_kinds_of_pictures_are_refused(tmp_path):
    save(tmp_path / "a.png", noise(8, 8), format="GIF")
    assert complaint(tmp_path) == "FOLDER/a.png: no JPEG or PNG picture"


def test_a_picture_that_would_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    save(tmp_path / "a.png", noise(8, 8))
    assert re.match(r"FOLDER/a\.png: broken picture: Image size \(64 pixels\) exceeds limit", complaint(tmp_path))
    save(tmp_path / "a.png", noise(16, 16))
    assert re.match(r"FOLDER/a\.png: broken picture: Image size \(256 pixels\) exceeds limit", complaint(tmp_path))


def test_samples_of_the_wheels():
    assert not set(images.SAMPLES) & set(images.CALIBRATION)
    pictures = samples() + samples(images.CALIBRATION)
    assert len(pictures) == len({picture.name for picture in pictures}) == 8
    for picture in pictures:
        assert max(picture.pixels.shape[:2]) == images.SIDE and picture.mask is None
        assert picture.pixels.std() > 20


def test_a_wheel_may_be_missing(monkeypatch):
    monkeypatch.setattr(images.installed.importlib.util, "find_spec", lambda name: None)
    said = (
        "wheel scikit-learn, extra model, is missing: pip install --no-deps scikit-learn, or name a folder of pictures"
    )
    with pytest.raises(FileNotFoundError, match=f"^sklearn/datasets/images/flower.jpg of the {said}$"):
        samples()
