import io
import os
import pickle
import re
import resource
import shutil
import struct
import traceback
import zlib
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, cross_val_score

from skcnn import (
    AugmentationDisplay,
    ImageAugmenter,
    ImageClassifier,
    MisclassifiedImagesDisplay,
    SaliencyDisplay,
    SampleGenerator,
    VGGLite,
    load,
    load_image_folder,
)
from skcnn.image.files import ImageFiles, is_paths, read_images
from skcnn.image.kept import RowFile

ARCHITECTURE = "CONV-4 -> RELU -> POOL -> FCS"
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of 30 colour images as PNG, with their pixels."""
    root = tmp_path_factory.mktemp("images")
    pixels = RNG.integers(0, 256, (60, 6, 8, 3), dtype=np.uint8)
    pixels[30:, :, :4] //= 4
    for row, image in enumerate(pixels):
        directory = root / ("bright", "dark")[row // 30]
        directory.mkdir(exist_ok=True)
        Image.fromarray(image).save(directory / f"{row:02}.png")
    return root, pixels


def net(**parameters):
    return ImageClassifier(ARCHITECTURE, **{"epochs": 2, "random_state": 0, **parameters})


# Single images


def png(pixels, bits=None, transparent=None, size=None):
    """A PNG of grey, grey with alpha, RGB or RGBA pixels of 1 to 16 bits."""
    pixels = np.atleast_3d(pixels)
    height, width, channels = (*(size or pixels.shape[:2]), pixels.shape[2])
    bits = bits or 8 * pixels.dtype.itemsize if pixels.dtype.kind == "u" else bits or 8

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    if bits < 8:
        planes = pixels[..., None] >> np.arange(bits)[::-1] & 1
        rows = np.packbits(planes.reshape(len(pixels), -1).astype(bool), axis=1)
    else:
        rows = pixels.astype(">u2" if bits == 16 else "u1")
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    made = b"\x89PNG\r\n\x1a\n"
    made += chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    if transparent is not None:
        made += chunk(b"tRNS", np.asarray(transparent, ">u2").tobytes())
    made += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    return made + chunk(b"IEND", b"")


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels):
    """A TIFF of RGB pixels of 16 bits."""
    height, width, channels = pixels.shape
    values = pixels.astype("<u2").tobytes()
    bits_at, data_at = 8 + 2 + 12 * 8 + 4, 8 + 2 + 12 * 8 + 4 + 6
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, data_at),
        (277, 3, 1, channels),
        (279, 4, 1, len(values)),
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    listed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return head + listed + struct.pack("<I", 0) + struct.pack("<HHH", 16, 16, 16) + values


def saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


GREY = Image.fromarray(RNG.integers(0, 256, (5, 7), dtype=np.uint8))
COLOUR = Image.fromarray(RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8))
WIDE = Image.fromarray(RNG.integers(0, 2**16, (5, 7), dtype=np.uint16))


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (GREY, "grey.png", np.asarray(GREY)[..., None]),
        (COLOUR, "colour.png", np.asarray(COLOUR)),
        (COLOUR, "colour.tiff", np.asarray(COLOUR)),
        (GREY.point(lambda v: 255 * (v > 127), "1"), "bits.png", None),
        (COLOUR.quantize(16), "palette.png", np.asarray(COLOUR.quantize(16).convert("RGB"))),
        (COLOUR.convert("RGBA"), "opaque.png", np.asarray(COLOUR)),
        (GREY.convert("LA"), "grey-opaque.png", np.asarray(GREY)[..., None]),
        (COLOUR.convert("CMYK"), "cmyk.tiff", np.asarray(COLOUR.convert("CMYK").convert("RGB"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_conversion_to_grey_or_rgb(tmp_path, image, name, expected):
    if expected is None:
        expected = np.asarray(image.convert("L"))[..., None]
    read = read_images([saved(tmp_path, image, name)])
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read[0], expected)


def test_bmp_with_16_bits_per_pixel_is_uint8(tmp_path):
    head = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    rows = struct.pack("<HHHH", 0xF800, 0x07E0, 0x001F, 0xFFFF)
    body = head + masks + rows
    path = tmp_path / "565.bmp"
    path.write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 52) + body)
    read = read_images([path])
    assert read.dtype == np.uint8
    assert read[0, 1].tolist() == [[255, 0, 0], [0, 255, 0]]


# Values of more than 8 bits


DEEP = RNG.integers(0, 2**16, (5, 7, 4), dtype=np.uint16)
DEEP[..., 3] = 65535


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (encoded(WIDE, "PNG"), "grey.png", np.asarray(WIDE)),
        (encoded(WIDE, "TIFF"), "grey.tiff", np.asarray(WIDE)),
        (encoded(WIDE, "TIFF", compression="tiff_lzw"), "lzw.tiff", np.asarray(WIDE)),
        (b"P5 7 5 65535\n" + np.asarray(WIDE).astype(">u2").tobytes(), "a.pgm", np.asarray(WIDE)),
        (png(DEEP[..., :3]), "rgb.png", DEEP[..., :3]),
        (png(DEEP), "rgba.png", DEEP[..., :3]),
        (png(DEEP[..., [0, 3]]), "la.png", DEEP[..., 0]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_16_bit_files_keep_their_range(tmp_path, content, name, expected):
    (tmp_path / name).write_bytes(content)
    read = read_images([tmp_path / name])
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read[0], np.atleast_3d(expected))
    grey = read_images([tmp_path / name], shape=(5, 7, 1))[0, ..., 0]
    luma = np.atleast_3d(expected) @ ([1] if expected.ndim == 2 else [0.299, 0.587, 0.114])
    np.testing.assert_array_equal(grey, np.rint(luma))


@pytest.mark.parametrize("dtype", ["float32", "int32", "int16"])
def test_floats_and_long_integers_keep_their_range(tmp_path, dtype):
    values = (RNG.normal(size=(5, 7)) * 1000).astype(dtype)
    path = saved(
        tmp_path, Image.fromarray(values.astype("i4" if dtype == "int16" else dtype)), "a.tiff"
    )
    read = read_images([path])
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[0, ..., 0], values)


def test_resizing_and_orientation_keep_the_range(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(tmp_path, WIDE, "turned.png", exif=exif)
    np.testing.assert_array_equal(read_images([turned])[0, ..., 0], np.rot90(WIDE, -1))
    ramp = np.linspace(40_000, 40_100, 64).astype(np.uint16).reshape(8, 8)
    for image in (Image.fromarray(ramp), Image.fromarray(ramp.astype(np.float32))):
        read = read_images([saved(tmp_path, image, "ramp.tiff")], image_size=(4, 4))
        assert 40_000 <= read.min() < read.max() <= 40_100
        assert len(np.unique(read)) == 16
    (tmp_path / "colour.png").write_bytes(png(np.stack([ramp] * 3, axis=-1)))
    colour = read_images([tmp_path / "colour.png"], image_size=(4, 4))[0]
    np.testing.assert_array_equal(colour[..., 1], np.rint(read[0, ..., 0]))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (tiff(DEEP[..., :3]), "deep.tiff"),
        (b"P6 7 5 65535\n" + DEEP[..., :3].astype(">u2").tobytes(), "deep.ppm"),
        (encoded(GREY, "SGI", bpc=2), "deep.sgi"),
        # Without an encoder for 16 bits, change the header of an 8-bit file.
        (
            re.sub(
                b"(\xff\x4f\xff\x51.{38})\x07", b"\\1\x0f", encoded(COLOUR, "JPEG2000"), flags=re.S
            ),
            "deep.jp2",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_pillow_truncates_to_8_bits_raise(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}.*16-bit pixels .* convert it to PNG"):
        read_images([tmp_path / name])


def test_mixed_bit_depths_raise(folder, tmp_path):
    X, y = load_image_folder(folder[0], return_X_y=True)
    wide = tmp_path / "wide.png"
    wide.write_bytes(png(DEEP[:6, :8, :3]))
    wide.write_bytes(png(RNG.integers(0, 2**16, (6, 8, 3), dtype=np.uint16)))
    with pytest.raises(ValueError, match=r"00.png' has 8-bit and .*wide.png' 16-bit pixels"):
        net().fit([*X, wide], [*y, "dark"])
    with pytest.raises(ValueError, match=r"wide.png.* has 16-bit pixels where 8-bit ones"):
        net().fit(X, y).predict([wide])
    floats = saved(tmp_path, Image.fromarray(np.ones((6, 8), np.float32)), "float.tiff")
    with pytest.raises(ValueError, match=r"00.png' has 8-bit and .*float.tiff' 32-bit pixels"):
        net().fit([*X, floats], [*y, "dark"])


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_files_and_arrays_give_the_same_pixel_range(tmp_path, dtype):
    # 12-bit data whose classes differ only in the low byte.
    pixels = RNG.integers(0, 60, (40, 6, 6)).astype(dtype)
    pixels[20:] += 60
    y = np.repeat(["low", "high"], 20)
    paths = [saved(tmp_path, Image.fromarray(p), f"{i}.tiff") for i, p in enumerate(pixels)]
    for augmentation in (None, ImageAugmenter(brightness_range=0.1, horizontal_flip=True)):
        fitted = net(augmentation=augmentation, epochs=20).fit(paths, y)
        assert fitted.pixel_dtype_ == dtype
        assert fitted.score(paths, y) == 1
        twin = net(augmentation=augmentation, epochs=20).fit(pixels, y)
        assert twin.pixel_dtype_ == dtype
        np.testing.assert_array_equal(twin.predict_proba(pixels), fitted.predict_proba(paths))
    changed = ImageAugmenter(horizontal_flip=True).transform(paths, random_state=0)
    assert changed.max() == pixels.max()
    shown = AugmentationDisplay.from_estimator(ImageAugmenter(), paths[:2]).images
    np.testing.assert_array_equal(shown[..., 0], pixels[:2])
    np.testing.assert_array_equal(
        SaliencyDisplay.from_estimator(fitted, paths[:2]).images[..., 0], pixels[:2]
    )
    wrong = np.where(y == "low", "high", "low")
    mistakes = MisclassifiedImagesDisplay.from_estimator(fitted, paths, wrong, n_images=1)
    assert mistakes.images[0].dtype == dtype


def test_the_dtype_of_the_pixels_is_kept(folder, tmp_path):
    root, pixels = folder
    X, y = load_image_folder(root, return_X_y=True)
    fitted = net().fit(X, y)
    fitted.save(tmp_path / "net.skcnn")
    again = load(tmp_path / "net.skcnn")
    assert (again.pixel_dtype_, again.background_) == ("uint8", (255, 255, 255))
    wide = tmp_path / "wide.png"
    wide.write_bytes(png(RNG.integers(0, 2**16, (6, 8, 3), dtype=np.uint16)))
    for other in (again, pickle.loads(pickle.dumps(fitted)), net().fit(pixels, y)):
        with pytest.raises(ValueError, match="16-bit pixels where 8-bit ones"):
            other.predict([wide])
        with pytest.raises(ValueError, match="16-bit pixels where 8-bit ones"):
            other.partial_fit([wide, wide], y[[0, -1]])
    assert net().fit(pixels.astype(float), y).pixel_dtype_ == "float64"


# Transparency


@pytest.mark.parametrize(
    ("background", "expected"),
    [("white", (255,) * 3), ("#ff8000", (255, 128, 0)), ((1, 2, 3), (1, 2, 3))],
)
def test_transparent_pixels_show_the_background(tmp_path, recwarn, background, expected):
    under = RNG.integers(0, 200, (5, 7, 3), dtype=np.uint8)
    hidden = np.zeros((5, 7), bool)
    hidden[1:3, 2:5] = True
    alpha = np.where(hidden, 0, 255).astype(np.uint8)
    rgba = Image.fromarray(np.dstack([under, alpha]))
    palette = rgba.convert("RGB").quantize(16)
    indexed = np.asarray(palette).copy()
    indexed[hidden] = 200  # a colour of its own
    indexed = Image.fromarray(indexed, "P")
    indexed.putpalette(palette.getpalette() + [9] * (768 - len(palette.getpalette())))
    grey = under[..., 0]
    keyed, keyed_grey = under.copy(), grey.copy()
    keyed[hidden], keyed_grey[hidden] = (201, 202, 203), 201
    wide = grey.astype(np.uint16) * 257
    wide[hidden] = 77
    deep = np.dstack([under, alpha]).astype(np.uint16) * 257
    few = grey % 3
    few[hidden] = 3
    solid = np.asarray(indexed.convert("RGB"))
    files = {
        "rgba.png": (encoded(rgba, "PNG"), under, 1),
        "rgba.webp": (encoded(rgba, "WEBP", lossless=True), under, 1),
        "rgba.tiff": (encoded(rgba, "TIFF"), under, 1),
        "la.png": (encoded(Image.fromarray(np.dstack([grey, alpha]), "LA"), "PNG"), grey, 1),
        "palette.png": (encoded(indexed, "PNG", transparency=200), solid, 1),
        "palette-alpha.png": (encoded(indexed, "PNG", transparency=bytes([255] * 200 + [0])), solid, 1),  # noqa: E501
        "palette.gif": (encoded(indexed, "GIF", transparency=200), solid, 1),
        "keyed.png": (encoded(Image.fromarray(keyed), "PNG", transparency=(201, 202, 203)), keyed, 1),  # noqa: E501
        "keyed-grey.png": (encoded(Image.fromarray(keyed_grey), "PNG", transparency=201), keyed_grey, 1),  # noqa: E501
        "16-bit-keyed.png": (png(wide, transparent=77), wide, 257),
        "16-bit-rgba.png": (png(deep), deep[..., :3], 257),
        "16-bit-la.png": (png(deep[..., [0, 3]]), deep[..., 0], 257),
        "2-bit.png": (png(few, bits=2, transparent=3), few * 85, 1),
        "4-bit.png": (png(few, bits=4, transparent=3), few * 17, 1),
        "1-bit.png": (png(hidden, bits=1, transparent=1), hidden * 255, 1),
    }  # fmt: skip
    for name, (content, pixels, scale) in files.items():
        (tmp_path / name).write_bytes(content)
        read = read_images([tmp_path / name], background=background)[0]
        wanted = np.where(hidden[..., None], np.array(expected) * scale, np.atleast_3d(pixels))
        if pixels.ndim == 2 and background == "white":
            wanted = wanted[..., :1]
        np.testing.assert_array_equal(read, wanted, err_msg=name)
    assert not recwarn.list


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_blended_before_resizing(tmp_path, dtype):
    top = np.iinfo(dtype).max
    pixels = np.zeros((4, 4, 4), dtype)
    pixels[:, :2] = (0, 0, 0, top)
    pixels[:, 2:] = (0, top, 0, 0)  # green, but nobody sees it
    pixels[0] = (0, 0, 0, top // 2)
    (tmp_path / "a.png").write_bytes(png(pixels))
    read = read_images([tmp_path / "a.png"])[0]
    np.testing.assert_allclose(read[0], top / 2, atol=1)
    assert read[1, 0].tolist() == [0] * 3
    assert read[1, 3].tolist() == [top] * 3
    small = read_images([tmp_path / "a.png"], image_size=(2, 2))[0]
    assert (small[..., :1] == small).all()  # grey, without a green fringe


def test_prediction_uses_the_background_of_fit(tmp_path):
    cut_out = np.zeros((40, 6, 6, 4), np.uint8)
    cut_out[..., :3] = RNG.integers(0, 256, (40, 6, 6, 3))  # noise under the transparent pixels
    cut_out[:20, 2:4, :, 3] = 255
    cut_out[20:, :, 2:4, 3] = 255
    cut_out[cut_out[..., 3] == 255] = (90, 90, 90, 255)
    paths = np.array([tmp_path / f"{i}.png" for i in range(40)])
    for path, pixels in zip(paths, cut_out, strict=True):
        path.write_bytes(png(pixels))
    y = np.repeat(["bar", "pillar"], 20)
    fitted = net(background="black", epochs=10).fit(paths, y)
    assert fitted.background_ == (0, 0, 0)
    assert fitted.score(paths, y) == 1
    seen = np.where(cut_out[..., 3:] > 0, cut_out[..., :3], 0)
    expected = net(epochs=10).fit(seen, y).predict_proba(seen)
    np.testing.assert_array_equal(fitted.predict_proba(paths), expected)
    fitted.save(tmp_path / "net.skcnn")
    for other in (load(tmp_path / "net.skcnn"), fitted.set_params(background="red")):
        np.testing.assert_array_equal(other.predict_proba(paths), expected)
    with pytest.raises(ValueError, match=r"background has changed .*from \(0, 0, 0\) to"):
        fitted.partial_fit(paths, y)
    assert not np.array_equal(net(epochs=10).fit(paths, y).predict_proba(paths), expected)
    batches = SampleGenerator(paths, y, batch_size=40, shuffle=False, background="black")
    np.testing.assert_array_equal(batches[0][0], seen)
    shown = SaliencyDisplay.from_estimator(fitted, paths[:2]).images
    np.testing.assert_array_equal(shown, seen[:2])
    mistakes = MisclassifiedImagesDisplay.from_estimator(fitted, paths, y[::-1], n_images=40)
    assert len(mistakes.images) == 40
    assert all(image.min() == 0 for image in mistakes.images)
    display = AugmentationDisplay.from_estimator(ImageAugmenter(), paths[:2], background="black")
    np.testing.assert_array_equal(display.images, seen[:2])
    np.testing.assert_array_equal(display.variants[:, 0], seen[:2])


@pytest.mark.parametrize(
    "background",
    ["blak", "rgba(0, 0, 0, 3)", (0, 0), (0, 0, 256), (0, 0.5, 0), (True, 0, 0), ("1", "2", "3")],
)
def test_bad_backgrounds_are_refused(folder, background):
    X, y = load_image_folder(folder[0], return_X_y=True)
    for call in (
        lambda: net(background=background).fit(X, y),
        lambda: net(background=background).fit(folder[1], y),
        lambda: SampleGenerator(X, y, batch_size=2, background=background),
        lambda: load_image_folder(folder[0], as_array=True, background=background),
        lambda: read_images(X, background=background),
        lambda: ImageAugmenter().transform(X, background=background),
    ):
        with pytest.raises(ValueError, match="background"):
            call()


def test_backgrounds_and_sizes_without_effect_are_refused(folder):
    root, pixels = folder
    y = load_image_folder(root).target
    for call in (
        lambda: net(background="black").fit(pixels, y),
        lambda: VGGLite(background=(0, 0, 0)).fit(pixels, y),
        lambda: SampleGenerator(pixels, y, batch_size=2, background="black"),
        lambda: ImageAugmenter().transform(pixels, background="black"),
        lambda: AugmentationDisplay.from_estimator(ImageAugmenter(), pixels, background="black"),
    ):
        with pytest.raises(ValueError, match=r"background=.* is for transparent pixels"):
            call()
    for name, value in (("background", "black"), ("image_size", (2, 2))):
        with pytest.raises(ValueError, match=f"{name}=.* needs as_array=True"):
            load_image_folder(root, **{name: value})
    assert net(background="#fff", epochs=1).fit(pixels, y).background_ == (255, 255, 255)


# Orientation


@pytest.mark.parametrize("name", ["turned.png", "turned.jpg", "turned.tiff", "turned.webp"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_orientation_tag_is_applied(tmp_path, name, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    image = Image.fromarray(
        np.kron(np.arange(0, 240, 40).reshape(2, 3), np.ones((16, 16))).astype(np.uint8)
    )
    path = saved(tmp_path, image.convert("RGB"), name, exif=exif, quality=100)
    turned = np.asarray(image)
    turned = turned.T if tag > 4 else turned
    turned = turned[:, ::-1] if tag in (2, 3, 6, 7) else turned
    turned = turned[::-1] if tag in (3, 4, 7, 8) else turned
    read = read_images([path])[0]
    assert read.shape == (*turned.shape, 3)
    np.testing.assert_allclose(read[..., 0], turned, atol=9)


def exif_of(kind, count, value):
    """EXIF with an orientation of any type and value."""
    return b"Exif\0\0II*\0" + struct.pack("<IHHHI", 8, 1, 0x0112, kind, count) + value + bytes(4)


@pytest.mark.parametrize(
    "exif",
    [
        exif_of(3, 1, struct.pack("<HH", 0, 0)),
        exif_of(3, 1, struct.pack("<HH", 9, 0)),
        exif_of(3, 1, struct.pack("<HH", 65535, 0)),
        exif_of(2, 4, b"top\0"),
        exif_of(7, 4, b"abcd"),
        exif_of(5, 1, struct.pack("<I", 10_000)),
        b"Exif\0\0nothing that anybody wrote on purpose",
        b"Exif\0\0",
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_invalid_orientation_tags_are_ignored(tmp_path, exif):
    for name in ("a.jpg", "a.png"):
        path = saved(tmp_path, COLOUR, name, exif=exif)
        with Image.open(path) as image:
            expected = np.asarray(image)
        np.testing.assert_array_equal(read_images([path])[0], expected)


def test_first_picture_of_an_mpo_file(tmp_path):
    path = saved(tmp_path, COLOUR, "phone.mpo", save_all=True, append_images=[COLOUR.rotate(180)])
    with Image.open(path) as image:
        assert image.n_frames == 2
        first = np.asarray(image)
    np.testing.assert_array_equal(read_images([path])[0], first)


def test_grey_among_colour_becomes_colour(tmp_path):
    paths = [saved(tmp_path, GREY, "g.png"), saved(tmp_path, COLOUR, "c.png")]
    read = read_images(paths)
    np.testing.assert_array_equal(read[0], np.repeat(np.asarray(GREY)[..., None], 3, -1))
    np.testing.assert_array_equal(read[1], np.asarray(COLOUR))


def test_resizing(tmp_path):
    read = read_images([saved(tmp_path, COLOUR, "c.png")], image_size=(10, 14))
    expected = COLOUR.resize((14, 10), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(read[0], np.asarray(expected))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_large_jpeg_files_are_decoded_at_a_smaller_scale(tmp_path, monkeypatch, resize, tag):
    row, column = np.mgrid[:330, :517]
    waves = np.sin(row / 9) * np.cos(column / 13)
    pixels = np.stack([row / 2, 128 + 100 * waves, column / 3], -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = tag
    path = str(tmp_path / "photo.jpg")
    Image.fromarray(pixels).save(path, quality=90, exif=exif)
    reading = {"shape": (64, 48, 3), "image_size": (64, 48), "resize": resize}
    found = read_images([path], **reading).astype(float)
    monkeypatch.setattr("skcnn.image.files._reduce", lambda image, size: None)
    whole = read_images([path], **reading)
    difference = np.abs(found - whole)
    assert difference.any()
    assert difference.mean() < 2
    assert difference.max() < 12


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded, one entry each time."""
    read = []
    decode = ImageFiles._decode_into
    monkeypatch.setattr(
        ImageFiles, "_decode_into", lambda self, *args: (read.append(args[0]), decode(self, *args))
    )
    return read


@pytest.mark.parametrize(
    ("in_memory", "on_disk", "times"), [(2**29, 0.5, 1), (0, 0.5, 2), (0, 0.0, 5)]
)
def test_a_fit_keeps_pixels_in_memory_or_in_a_file(
    folder, monkeypatch, decoded, in_memory, on_disk, times
):
    root, pixels = folder
    images = load_image_folder(root)
    monkeypatch.setattr("skcnn.image.kept.KEPT_BYTES", in_memory)
    monkeypatch.setattr("skcnn.image.kept.DISK_SHARE", on_disk)
    n_open = len(os.listdir("/proc/self/fd"))
    learned = net(epochs=4).fit(images.data, images.target)
    assert len(decoded) == 60 * times  # for the statistics and in four epochs
    assert len(set(decoded)) == 60
    assert len(os.listdir("/proc/self/fd")) <= n_open
    expected = net(epochs=4).fit(pixels, images.target)
    assert learned.history_["loss"] == expected.history_["loss"]
    decoded.clear()
    learned.predict(images.data)
    learned.predict(images.data)
    assert len(decoded) == 120  # prediction reads every file once a call


def test_images_that_are_read_once_are_not_written(folder, monkeypatch):
    images = load_image_folder(folder[0])
    monkeypatch.setattr("skcnn.image.kept.KEPT_BYTES", 0)
    monkeypatch.setattr("os.pwrite", lambda *_: pytest.fail("written"))
    net(epochs=1, standardize=False).fit(images.data, images.target)


def test_a_full_disk_only_slows_down(folder, monkeypatch, decoded):
    root, pixels = folder
    images = load_image_folder(root)
    monkeypatch.setattr("skcnn.image.kept.KEPT_BYTES", 0)
    given = resource.getrlimit(resource.RLIMIT_FSIZE)
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (59 * pixels[0].nbytes, given[1]))
    try:
        learned = net(epochs=4, batch_size=6, callbacks=[watch]).fit(images.data, images.target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, given)
    # One row does not fit; the others of its batch are written in the next epoch.
    assert 3 <= len(decoded) - 120 <= 3 * 6
    expected = net(epochs=4, batch_size=6).fit(pixels, images.target)
    assert learned.history_["loss"] == expected.history_["loss"]


def test_without_a_folder_for_temporary_files_every_epoch_decodes(folder, monkeypatch, decoded):
    images = load_image_folder(folder[0])
    monkeypatch.setattr("skcnn.image.kept.KEPT_BYTES", 0)
    monkeypatch.setattr("tempfile.tempdir", str(folder[0] / "missing"))
    net(epochs=3).fit(images.data, images.target)
    assert len(decoded) == 240


def test_an_open_file_of_rows_cannot_be_sent_to_another_process():
    with pytest.raises(TypeError, match="this process only"):
        pickle.dumps(RowFile((2, 3), "uint8"))


def png_of_size(width, height):
    """A PNG whose header claims a huge size."""
    return png(np.zeros((1, 1)), size=(height, width))


BROKEN = {
    "empty.png": (b"", "it is empty"),
    "text.jpg": (b"no image, but a text that says so", "not an image in a format"),
    "half.jpg": (encoded(COLOUR, "JPEG")[:-40], "truncated|broken|end of"),
    "half.png": (encoded(COLOUR, "PNG")[:90], "truncated|broken|not an image"),
    "cut.bmp": (encoded(COLOUR, "BMP")[:-20], "truncated"),
    "moving.gif": (
        encoded(COLOUR, "GIF", save_all=True, append_images=[COLOUR.rotate(180)]),
        "it has 2 frames",
    ),
    "nan.tiff": (
        encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"),
        "NaN or infinite",
    ),
    "long.tiff": (
        encoded(Image.fromarray(np.full((4, 4), 2**24 + 1, np.int32)), "TIFF"),
        "integers beyond 16777216",
    ),
    "half-16-bit.png": (png(np.ones((5, 7, 3), np.uint16))[:60], "truncated|damaged|not an image"),
    "bomb.png": (png_of_size(12_000, 12_000), "12000x12000 pixels are more than"),
    "huge-bomb.png": (png_of_size(2**20, 2**20), "pixels|decompression bomb"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_unreadable_files_are_named(tmp_path, name):
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_images([tmp_path / name])
    assert str(tmp_path / name) in str(caught.value)


def test_missing_file_and_different_sizes_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"lost.png.*there is no such file"):
        read_images([tmp_path / "lost.png"])
    paths = [saved(tmp_path, COLOUR, "c.png"), saved(tmp_path, COLOUR.resize((3, 3)), "s.png")]
    with pytest.raises(ValueError, match=r"c.png' has 5x7 pixels and .*s.png' has 3x3"):
        read_images(paths)


def test_all_unreadable_files_are_reported_at_once(folder, tmp_path):
    X, y = load_image_folder(folder[0], return_X_y=True)
    fitted = net().fit(X, y)
    spoilt = list(X)
    for row in range(0, 60, 5):
        spoilt[row] = str(tmp_path / f"{row}.bmp")
        # The header is complete, so only decoding fails.
        (tmp_path / f"{row}.bmp").write_bytes(encoded(Image.new("RGB", (8, 6)), "BMP")[:-20])
    for call in (
        fitted.predict,
        lambda X: net().fit(X, y),
        lambda X: net().partial_fit(X, y),
        lambda X: read_images(X),
        lambda X: ImageAugmenter().transform(X),
    ):
        with pytest.raises(ValueError, match="cannot read 12 of 60 image files") as caught:
            call(spoilt)
        named = [path for path in spoilt if path in str(caught.value)]
        assert len(named) == 10
        assert "and 2 more" in str(caught.value)
        assert str(caught.value).count("truncated") == 10
    lost = [str(tmp_path / "lost"), *X[1:-1], str(tmp_path / "gone")]
    for call in (fitted.predict, lambda X: net().fit(X, y)):
        with pytest.raises(ValueError, match=r"2 of 60(?s:.*)lost': there is no such(?s:.*)gone'"):
            call(lost)


def test_unreadable_image_error_can_be_pickled(tmp_path):
    with pytest.raises(ValueError, match="no such file") as caught:
        read_images([tmp_path / "lost.png"])
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


SPECIAL = """
import sys
from pathlib import Path
from skcnn import ImageClassifier, SampleGenerator, load_image_folder
root, *special = sys.argv[1:]
X, y = load_image_folder(root, return_X_y=True)
net = ImageClassifier("FCS", epochs=1, random_state=0).fit(X, y)
for path in special:
    calls = {
        "predict": lambda: net.predict([path]),
        "fit": lambda: net.fit([path, *X[1:]], y),
        "first": lambda: ImageClassifier("FCS").fit([path, *X[1:]], y),
        "partial_fit": lambda: net.partial_fit([path, *X[1:]], y),
        "generator": lambda: SampleGenerator([path], [0], batch_size=1),
        "folder": lambda: load_image_folder(Path(path).parents[1]),
    }
    for name, call in calls.items():
        try:
            call()
            print(name, path, "no error")
        except ValueError as error:
            if not (path in str(error) and "not a regular file" in str(error)):
                print(name, error)
print("end")
"""


def test_irregular_files_raise_without_blocking(folder, tmp_path, run_python):
    special = [tmp_path / name / "class" / "0.png" for name in ("fifo", "link", "device")]
    for path in special:
        path.parent.mkdir(parents=True)
    os.mkfifo(special[0])
    special[1].symlink_to(special[0])
    special[2].symlink_to("/dev/zero")
    printed = run_python(SPECIAL, str(folder[0]), *map(str, special), timeout=120).stdout
    assert printed.splitlines() == ["end"]
    with pytest.raises(ValueError, match="not a regular file"):
        read_images([tmp_path])


def test_links_to_files_are_read(folder, tmp_path):
    X = load_image_folder(folder[0]).data
    (tmp_path / "link.png").symlink_to(X[3])
    np.testing.assert_array_equal(read_images([tmp_path / "link.png"])[0], folder[1][3])


# Files as an array


def test_image_files_behave_like_an_array(folder):
    root, pixels = folder
    files = ImageFiles(load_image_folder(root).data)
    assert (files.shape, files.dtype, len(files)) == (pixels.shape, pixels.dtype, 60)
    for rows in (slice(3, 50, 4), np.array([7, 0, 59]), slice(None)):
        np.testing.assert_array_equal(files[rows], pixels[rows])


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (["a.png", Path("b.png")], True),
        (np.array(["a.png"]), True),
        ([1, 2], False),
        ([["a"]], False),
        (np.zeros(3), False),
        ([], False),
        ("a.png", False),
        (3, False),
    ],
)
def test_is_paths(X, expected):
    assert is_paths(X) is expected


@pytest.mark.parametrize("path", ["a.png", Path("a.png"), np.str_("a.png")])
def test_a_single_path_is_refused_with_the_fix(folder, path):
    fitted = net().fit(*load_image_folder(folder[0], return_X_y=True))
    for call in (
        fitted.predict,
        fitted.predict_proba,
        fitted.transform,
        lambda X: net().fit(X, ["cat"]),
        lambda X: net().partial_fit(X, ["cat"]),
        lambda X: fitted.score(X, ["cat"]),
        lambda X: SampleGenerator(X, [0], batch_size=1),
        lambda X: ImageAugmenter().transform(X),
        lambda X: AugmentationDisplay.from_estimator(ImageAugmenter(), X),
        lambda X: SaliencyDisplay.from_estimator(fitted, X),
        lambda X: MisclassifiedImagesDisplay.from_estimator(fitted, X, ["cat"]),
        lambda X: ImageFiles(X),
    ):
        with pytest.raises(ValueError, match=r"X must be images or a list of paths.*\[.*a.png'"):
            call(path)


def as_containers(X):
    index = np.arange(len(X))[::-1] + 100
    return {
        "list": list(X),
        "paths": [Path(path) for path in X],
        "objects": X.astype(object),
        "strings of NumPy": X.astype(np.dtypes.StringDType()),
        "column": X[:, None],
        "column of objects": X[:, None].astype(object),
        "series": pd.Series(X, index=index),
        "categories": pd.Series(X, index=index, dtype="category"),
        "frame": pd.DataFrame({"file": X}, index=index),
        "frame of paths": pd.DataFrame({"file": [Path(path) for path in X]}, index=index),
        "polars": pl.DataFrame({"file": X.tolist()}),
        "polars series": pl.Series(X.tolist()),
        "arrow": pa.table({"file": X.tolist()}),
    }


def test_paths_in_any_container(folder):
    root, pixels = folder
    X, y = (each[::3] for each in load_image_folder(root, return_X_y=True))
    expected = net(epochs=1).fit(X, y).predict_proba(X)
    wrong = np.roll(y, 10)
    for name, container in as_containers(X).items():
        fitted = net(epochs=1).fit(container, y, X_val=container, y_val=y)
        assert not hasattr(fitted, "feature_names_in_"), name
        np.testing.assert_array_equal(fitted.predict_proba(container), expected, err_msg=name)
        np.testing.assert_array_equal(fitted.predict_proba(X), expected, err_msg=name)
        batches = SampleGenerator(container, y, batch_size=3, shuffle=False)
        np.testing.assert_array_equal(batches[0][0], pixels[:9:3], err_msg=name)
    for name in ("series", "frame", "polars"):
        display = MisclassifiedImagesDisplay.from_estimator(
            fitted, as_containers(X)[name], wrong, n_images=2
        )
        assert len(display.images) == 2
        assert SaliencyDisplay.from_estimator(fitted, as_containers(X)[name]).images.shape[0] == 20


def test_frames_of_paths_in_scikit_learns_tools(folder):
    X, y = load_image_folder(folder[0], return_X_y=True)
    frame = as_containers(X)["frame"]
    np.testing.assert_array_equal(
        cross_val_score(net(), frame, y, cv=3), cross_val_score(net(), X, y, cv=3)
    )
    fitted = net().fit(frame, y).set_output(transform="pandas")
    features = fitted.transform(frame)
    assert features.index.equals(frame.index)
    assert list(features.columns) == fitted.get_feature_names_out().tolist()
    columns = make_column_transformer((net(), ["file"]))
    labelled = frame.assign(number=1)
    assert columns.fit_transform(labelled, y).shape[0] == 60


def test_mixed_paths_and_other_values_raise():
    with pytest.raises(ValueError, match="row 1 is a float"):
        is_paths(["a.png", 1.0])


# Estimators on files


@pytest.mark.parametrize("augmentation", [None, ImageAugmenter(horizontal_flip=True, cutout=0.3)])
def test_array_memmap_and_files_give_the_same_predictions(folder, tmp_path, augmentation):
    root, pixels = folder
    images = load_image_folder(root)
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    paths = [Path(path) for path in images.data]
    expected = net(augmentation=augmentation).fit(pixels, images.target).predict_proba(pixels)
    for X in (mapped, images.data, paths, pixels.astype(np.float64)):
        fitted = net(augmentation=augmentation).fit(X, images.target)
        for other in (X, pixels, images.data):
            np.testing.assert_array_equal(fitted.predict_proba(other), expected)


def test_cross_validation_and_search_on_files(folder):
    root, pixels = folder
    images = load_image_folder(root)
    scores = cross_val_score(net(epochs=8), images.data, images.target, cv=3)
    expected = cross_val_score(net(epochs=8), pixels, images.target, cv=3)
    np.testing.assert_array_equal(scores, expected)
    assert scores.min() > 0.6
    grid = {"image_size": [(3, 4), (6, 8)], "augmentation__vertical_flip": [False, True]}
    search = GridSearchCV(net(augmentation=ImageAugmenter()), grid, cv=2)
    search.fit(images.data, images.target)
    assert search.best_estimator_.input_shape_[:2] == search.best_params_["image_size"]


def test_validation_and_partial_fit_on_files(folder):
    root, pixels = folder
    X, y = load_image_folder(root, return_X_y=True)
    fitted = net().fit(X, y, X_val=X[::2], y_val=y[::2])
    assert fitted.history_["val_accuracy"][-1] == pytest.approx(fitted.score(pixels[::2], y[::2]))
    part = net().partial_fit(X, y)
    np.testing.assert_array_equal(
        part.predict_proba(X), net().partial_fit(pixels, y).predict_proba(X)
    )


class Spoil(keras.callbacks.Callback):
    """Change a file while a network is trained."""

    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.spoil()

    def __deepcopy__(self, memo):
        return self


CHANGES = {
    "gone": (lambda path: path.unlink(), "no such file"),
    "text": (lambda path: path.write_bytes(b"else"), "not an image"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "small": (lambda path: COLOUR.save(path), "5x7 pixels where 6x8"),
    "wide": (lambda path: path.write_bytes(png(np.ones((6, 8), np.uint16))), "16-bit pixels"),
}


@pytest.mark.parametrize(
    ("change", "where", "augmentation"),
    [
        *((name, "training", None) for name in CHANGES),
        ("gone", "validation", None),
        ("gone", "training", ImageAugmenter(horizontal_flip=True)),
    ],
)
def test_files_that_change_during_training_are_named(
    folder, tmp_path, monkeypatch, change, where, augmentation
):
    monkeypatch.setattr("skcnn.image.kept.KEPT_BYTES", 0)
    monkeypatch.setattr("skcnn.image.kept.DISK_SHARE", 0.0)
    spoil, reason = CHANGES[change]
    shutil.copytree(folder[0], tmp_path / "copy")
    X, y = load_image_folder(tmp_path / "copy", return_X_y=True)
    rows = slice(0, None, 2)
    validation = {"X_val": X[1::2], "y_val": y[1::2]} if where == "validation" else {}
    spoilt = Path(X[1] if validation else X[2])
    fitted = net(
        epochs=4,
        batch_size=4,
        augmentation=augmentation,
        callbacks=[Spoil(lambda: spoil(spoilt))],
    )
    with pytest.raises(
        ValueError, match=f"cannot read the image file '{spoilt}': .*{reason}"
    ) as caught:
        fitted.fit(X[rows], y[rows], **validation)
    assert len(str(caught.value).splitlines()) == 1
    shown = "".join(traceback.format_exception(caught.value))
    assert "tensorflow.python.framework.errors" not in shown
    shutil.copy(folder[0] / spoilt.relative_to(tmp_path / "copy"), spoilt)
    net(epochs=1).fit(X[rows], y[rows])  # what was compiled serves again


def test_validation_files_are_checked_before_training(folder, tmp_path):
    X, y = load_image_folder(folder[0], return_X_y=True)
    small = saved(tmp_path, COLOUR, "small.png")
    wide = tmp_path / "wide.png"
    wide.write_bytes(png(RNG.integers(0, 2**16, (6, 8, 3), dtype=np.uint16)))
    lost = tmp_path / "lost.png"
    last = [*X[:-3], small, wide, lost]
    epochs = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    with pytest.raises(ValueError, match=r"X_val and y_val: cannot read 3 of 60") as caught:
        net(callbacks=[count]).fit(X, y, X_val=last, y_val=y)
    reasons = ["5x7 pixels where 6x8", "16-bit pixels where 8-bit", "no such file"]
    assert all(reason in str(caught.value) for reason in reasons)
    assert epochs == []
    with pytest.raises(ValueError, match="cannot read 3 of 60"):
        net().fit(X, y).partial_fit(last, y)


def test_bad_files_stop_fit_and_predict(folder, tmp_path):
    X, y = load_image_folder(folder[0], return_X_y=True)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    fitted = net().fit(X, y)
    spoilt = [*X[:-1], broken]
    for call in (fitted.predict, lambda X: net().fit(X, y)):
        with pytest.raises(ValueError, match=r"broken.png.*it is empty"):
            call(spoilt)
    small = saved(tmp_path, COLOUR, "small.png")
    with pytest.raises(ValueError, match="5x7 pixels where 6x8 are expected"):
        fitted.predict([small])
    assert net(image_size=(6, 8)).fit(X, y).predict([small]).shape == (1,)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        net().fit(X, y[1:])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_size": (6,)}, r"image_size must be \(height, width\)"),
        ({"image_size": (6, 0)}, "image_size must be .* positive"),
        ({"image_size": 0}, "image_size must be .* positive"),
        ({"image_size": True}, "image_size must be .* positive"),
        ({"image_size": 6.0}, "'image_size' parameter"),
        ({"resize": "fit"}, "'resize' parameter"),
        ({"resize": "crop"}, "resize='crop' needs image_size"),
        ({"image_size": (6, 8), "input_shape": (5, 8, 3)}, "input_shape=.* and image_size="),
        ({"input_shape": (5, 8, 3)}, "6x8 pixels where 5x8 are expected"),
    ],
)
def test_bad_sizes_are_refused(folder, parameters, message):
    X, y = load_image_folder(folder[0], return_X_y=True)
    with pytest.raises(ValueError, match=message):
        net(**parameters).fit(X, y)


MEMORY = """
import resource, sys
import numpy as np
from skcnn import ImageClassifier
X = np.lib.format.open_memmap(sys.argv[1], mode="r")
y = np.arange(len(X)) % 2
net = ImageClassifier("AVGPOOL-32 -> FCS", epochs=1, batch_size=16, random_state=0)
net.fit(X[:64], y[:64])
used = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
limit = used + X.nbytes // 2
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    bytearray(X.nbytes)
except MemoryError:
    print("the array itself does not fit")
net.set_params(random_state=1).fit(X, y)
print(net.n_iter_, net.predict(X[:100]).shape, net.score(X[-100:], y[-100:]) >= 0)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux's /proc")
def test_memmap_larger_than_the_memory_limit(tmp_path, run_python):
    path = tmp_path / "big.npy"
    # A sparse file: 256 MB that take no disk space.
    shape = (1250, 256, 256, 3)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    printed = run_python(MEMORY, str(path)).stdout.splitlines()
    assert printed == ["the array itself does not fit", "1 (100,) True"]
