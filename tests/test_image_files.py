import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import GridSearchCV, cross_val_score

from skcnn import ImageAugmenter, ImageClassifier, load_image_folder
from skcnn._image_files import ImageFiles, is_paths, read_images

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


# One image after another


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
        (WIDE, "16-bit.png", (np.asarray(WIDE) >> 8)[..., None]),
        (COLOUR.quantize(16), "palette.png", np.asarray(COLOUR.quantize(16).convert("RGB"))),
        (COLOUR.convert("RGBA"), "alpha.png", np.asarray(COLOUR)),
        (GREY.convert("LA"), "grey-alpha.png", np.asarray(GREY)[..., None]),
        (COLOUR.convert("CMYK"), "cmyk.tiff", np.asarray(COLOUR.convert("CMYK").convert("RGB"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_conversions(tmp_path, image, name, expected):
    if expected is None:
        expected = np.asarray(image.convert("L"))[..., None]
    read = read_images([saved(tmp_path, image, name)])
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read[0], expected)


def test_palette_with_transparency_raises_no_warning(tmp_path, recwarn):
    path = saved(tmp_path, COLOUR.quantize(4), "p.png", transparency=b"\x00\x40\x80\xff")
    assert read_images([path]).shape == (1, 5, 7, 3)
    assert not recwarn.list


def test_orientation_tag_is_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, COLOUR, "turned.png", exif=exif)
    np.testing.assert_array_equal(read_images([path])[0], np.rot90(np.asarray(COLOUR), -1))


def test_first_picture_of_a_phone_file(tmp_path):
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


def png_of_size(width, height):
    """A PNG whose head claims a size that nobody should decode."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


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
    "float.tiff": (
        encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"),
        "Pillow's mode 'F'",
    ),
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


# Files as an array


def test_reads_like_the_array_of_its_pixels(folder):
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
def test_what_counts_as_paths(X, expected):
    assert is_paths(X) is expected


def test_paths_among_other_things_are_refused():
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


def test_validation_data_and_partial_fit_on_files(folder):
    root, pixels = folder
    X, y = load_image_folder(root, return_X_y=True)
    fitted = net(validation_data=(X[::2], y[::2])).fit(X, y)
    assert fitted.history_["val_accuracy"][-1] == pytest.approx(fitted.score(pixels[::2], y[::2]))
    part = net().partial_fit(X, y)
    np.testing.assert_array_equal(
        part.predict_proba(X), net().partial_fit(pixels, y).predict_proba(X)
    )


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
        ({"image_size": 6}, "'image_size' parameter"),
        ({"image_size": (6, 8), "input_shape": (5, 8, 3)}, "input_shape=.* is not of image_size"),
        ({"input_shape": (5, 8, 3)}, "6x8 pixels where 5x8 are expected"),
    ],
)
def test_bad_sizes_are_refused(folder, parameters, message):
    X, y = load_image_folder(folder[0], return_X_y=True)
    with pytest.raises(ValueError, match=message):
        net(**parameters).fit(X, y)


def test_image_size_does_not_resize_arrays(folder):
    with pytest.raises(ValueError, match=r"image_size=\(3, 3\) resizes image files only"):
        net(image_size=(3, 3)).fit(folder[1], [0, 1] * 30)


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
    # A file of holes: a quarter of a gigabyte that takes no disk.
    shape = (1250, 256, 256, 3)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    printed = run_python(MEMORY, str(path)).stdout.splitlines()
    assert printed == ["the array itself does not fit", "1 (100,) True"]
