import io
import os
import pickle
import shutil
import struct
import tarfile
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from skcnn import (
    ImageClassifier,
    fetch_cifar10,
    load_digit_images,
    load_image_folder,
    make_arithmetic,
)
from skcnn.datasets import CIFAR10_NAMES

RNG = np.random.default_rng(0)


def test_digits_match_scikit_learn():
    digits = load_digit_images()
    assert digits.data.shape == (1797, 8, 8)
    assert digits.target_names == list("0123456789")
    X, y = load_digit_images(return_X_y=True)
    np.testing.assert_array_equal(X, digits.data)
    np.testing.assert_array_equal(y, digits.target)


# Folders


@pytest.fixture
def folder(tmp_path):
    for name, number in (("dog", 2), ("cat", 3)):
        (tmp_path / name).mkdir()
        for index in range(number):
            image = Image.fromarray(RNG.integers(0, 256, (4, 5, 3), dtype=np.uint8))
            image.save(tmp_path / name / f"{index}.png")
    (tmp_path / "README.txt").write_text("beside the classes")
    (tmp_path / "cat" / ".hidden").write_text("not an image")
    return tmp_path


def test_folder_gives_paths_and_classes_in_order(folder):
    found = load_image_folder(folder)
    assert found.target_names == ["cat", "dog"]
    assert found.target.tolist() == ["cat", "cat", "cat", "dog", "dog"]
    assert found.skipped == []
    expected = [f"cat/{i}.png" for i in range(3)] + [f"dog/{i}.png" for i in range(2)]
    assert found.data.tolist() == [str(folder / name) for name in expected]
    pixels = load_image_folder(str(folder), as_array=True)
    assert (pixels.data.shape, pixels.data.dtype) == ((5, 4, 5, 3), np.uint8)
    np.testing.assert_array_equal(pixels.data[4], np.asarray(Image.open(found.data[4])))
    X, y = load_image_folder(folder, as_array=True, image_size=(2, 2), return_X_y=True)
    assert (X.shape, len(y)) == ((5, 2, 2, 3), 5)


def test_sizes_may_differ_until_images_are_decoded(folder):
    Image.new("RGB", (9, 9)).save(folder / "dog" / "big.png")
    assert len(load_image_folder(folder).data) == 6
    with pytest.raises(ValueError, match=r"big.png' has 9x9. Set image_size"):
        load_image_folder(folder, as_array=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "cat" / "notes.txt").write_text("a"), "notes.txt.*not an image"),
        (lambda root: (root / "cat" / "0.png").write_bytes(b""), "0.png.*it is empty"),
        (lambda root: (root / "emu").mkdir(), "class folder .*emu' is empty"),
        (lambda root: (root / "cat" / "more").mkdir(), "has a folder inside: .*more"),
    ],
)
def test_unexpected_folder_contents_raise(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        load_image_folder(folder)


def test_invalid_image_folder_raises(folder):
    with pytest.raises(ValueError, match="nowhere' is not a folder"):
        load_image_folder(folder / "nowhere")
    with pytest.raises(ValueError, match="cat' has no sub-folder"):
        load_image_folder(folder / "cat")
    with pytest.raises(ValueError, match="'path' parameter"):
        load_image_folder(3)


def test_score_on_a_folder_without_one_class(tmp_path):
    for part, names in (("train", "ant bee cat"), ("test", "bee cat")):
        for value, name in enumerate(["ant", "bee", "cat"]):
            if name in names:
                (tmp_path / part / name).mkdir(parents=True)
                for index in range(8):
                    image = Image.new("L", (4, 4), 100 * value + index)
                    image.save(tmp_path / part / name / f"{index}.png")
    train = load_image_folder(tmp_path / "train")
    net = ImageClassifier("FC-8 -> RELU -> FCS", epochs=40, random_state=0)
    net.fit(train.data, train.target)
    assert net.classes_.tolist() == train.target_names == ["ant", "bee", "cat"]
    for classes in (None, train.target_names, net.classes_):
        test = load_image_folder(tmp_path / "test", classes=classes)
        assert net.score(test.data, test.target) == 1
        assert test.target_names == (["bee", "cat"] if classes is None else train.target_names)
    (tmp_path / "test" / "ant").mkdir()
    test = load_image_folder(tmp_path / "test", classes=train.target_names, as_array=True)
    assert test.target.tolist() == ["bee"] * 8 + ["cat"] * 8
    with pytest.raises(ValueError, match=r"class folder .*ant' is empty"):
        load_image_folder(tmp_path / "test")


def test_classes_parameter_selects_and_orders(folder):
    found = load_image_folder(folder, classes=("emu", "dog", "cat"))
    assert found.target_names == ["emu", "dog", "cat"]
    assert found.target.tolist() == ["dog"] * 2 + ["cat"] * 3
    with pytest.raises(ValueError, match=r"not in classes=\['cat', 'emu'\]: \['dog'\]"):
        load_image_folder(folder, classes=["cat", "emu"])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "classes must be the names"),
        ([0, 1], "classes must be the names"),
        ("cat", "'classes' parameter"),
        (["cat", "dog", "cat"], "classes has duplicate names"),
    ],
)
def test_bad_classes_are_refused(folder, classes, message):
    with pytest.raises(ValueError, match=message):
        load_image_folder(folder, classes=classes)


def test_classes_that_are_all_absent_are_refused(folder):
    for name in ("cat", "dog"):
        shutil.rmtree(folder / name)
    (folder / ".git").mkdir()
    (folder / "cat").mkdir()
    with pytest.raises(ValueError, match=r"no file of the classes \['cat', 'dog'\]"):
        load_image_folder(folder, classes=["cat", "dog"])


def test_hidden_and_system_files_are_skipped(folder):
    expected = load_image_folder(folder)
    for name in ("__MACOSX", ".ipynb_checkpoints", "@eaDir", "$RECYCLE.BIN"):
        (folder / name).mkdir()
        (folder / "cat" / name).mkdir()
        (folder / "cat" / name / "0.png").write_bytes(b"not an image")
    for name in (".DS_Store", "._0.png", "Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini"):
        (folder / "cat" / name).write_bytes(b"not an image")
        (folder / name).write_bytes(b"not an image")
    for on_error in ("raise", "skip"):
        found = load_image_folder(folder, on_error=on_error)
        assert found.data.tolist() == expected.data.tolist()
        assert (found.target_names, found.skipped) == (["cat", "dog"], [])


def spoil(folder):
    """Add unreadable files to the images; return their paths and the reasons."""
    reasons = {"labels.csv": "not an image", "notes.txt": "not an image", "half.png": "truncated"}
    for name in ("labels.csv", "notes.txt"):
        (folder / "cat" / name).write_text("a,b")
    whole = (folder / "cat" / "0.png").read_bytes()
    (folder / "cat" / "half.png").write_bytes(whole[:60])
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "dog" / "pipe")
        reasons["pipe"] = "not a regular file"
    (folder / "dog" / "lost.png").symlink_to(folder / "nowhere")
    reasons["lost.png"] = "no such file"
    return reasons


def test_unreadable_images_are_reported_at_once_or_skipped(folder):
    expected = load_image_folder(folder, as_array=True)
    reasons = spoil(folder)
    for as_array in (False, True):
        with pytest.raises(ValueError, match="cannot read 5 of 10 image files") as caught:
            load_image_folder(folder, as_array=as_array)
        assert all(name in str(caught.value) for name in reasons)
        found = load_image_folder(folder, as_array=as_array, on_error="skip")
        assert found.target.tolist() == expected.target.tolist()
        skipped = {os.path.basename(path): reason for path, reason in found.skipped}
        assert set(skipped) == set(reasons)
        assert all(reasons[name] in skipped[name] for name in reasons)
    np.testing.assert_array_equal(found.data, expected.data)
    with pytest.warns(UserWarning, match=r"5 files .* were skipped, .*half.png") as seen:
        X, _ = load_image_folder(folder, on_error="skip", return_X_y=True)
    assert (len(X), seen[0].filename) == (5, __file__)


def test_truncated_images_are_skipped(folder):
    # The header is complete, so only decoding fails.
    (folder / "cat" / "cut.bmp").write_bytes(bmp()[:-20])
    found = load_image_folder(folder, on_error="skip")
    assert [os.path.basename(path) for path, _ in found.skipped] == ["cut.bmp"]
    assert len(found.data) == 5


def bmp():
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4)).save(buffer, "BMP")
    return buffer.getvalue()


def test_a_folder_without_a_readable_image_is_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.csv").write_text("a,b")
    with pytest.raises(ValueError, match=r"no image that can be read.*a.csv': it is not an image"):
        load_image_folder(tmp_path, on_error="skip")


def test_a_long_list_of_unreadable_images_is_cut(folder):
    for number in range(25):
        (folder / "cat" / f"{number}.csv").write_text("a,b")
    with pytest.raises(ValueError, match="cannot read 25 of 30") as caught:
        load_image_folder(folder)
    assert str(caught.value).count(".csv") == 10
    assert str(caught.value).endswith("and 15 more")


def test_folders_of_more_than_8_bits(folder):
    wide = RNG.integers(0, 2**16, (4, 5), dtype=np.uint16)
    Image.fromarray(wide).save(folder / "cat" / "wide.png")
    with pytest.raises(ValueError, match=r"0.png' has 8-bit and .*wide.png' 16-bit"):
        load_image_folder(folder)
    for file in (*folder.glob("cat/?.png"), *folder.glob("dog/?.png")):
        Image.fromarray(wide).save(file)
    found = load_image_folder(folder, as_array=True)
    assert found.data.dtype == np.uint16
    np.testing.assert_array_equal(found.data[0, ..., 0], wide)


# CIFAR-10, in the format of its archive


def batches():
    """Five training batches and a test batch of seven images, as the archive pickles them."""
    made = {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        data = RNG.integers(0, 256, (7, 3072), dtype=np.uint8)
        labels = RNG.integers(0, 10, 7).tolist()
        made[name] = {b"batch_label": b"", b"labels": labels, b"data": data}
    return made


class Python2Pickler(pickle._Pickler):
    """Pickle bytes as str of Python 2, as in the archive."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def pickled(batch):
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(batch)
    # the former name of NumPy's module
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def as_archive(home, content):
    with tarfile.open(home / "cifar-10-python.tar.gz", "w:gz") as archive:
        for name, batch in content.items():
            raw = pickled(batch)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))


def as_unpacked(home, content):
    (home / "cifar-10-batches-py").mkdir()
    for name, batch in content.items():
        (home / "cifar-10-batches-py" / name).write_bytes(pickled(batch))


@pytest.mark.parametrize("write", [as_archive, as_unpacked])
def test_cifar10_from_its_archive(tmp_path, write):
    content = batches()
    write(tmp_path, content)
    train = fetch_cifar10(data_home=tmp_path)
    assert (train.data.shape, train.data.dtype) == ((35, 32, 32, 3), np.uint8)
    assert train.target_names == CIFAR10_NAMES
    second = content["data_batch_2"]
    np.testing.assert_array_equal(train.target[7:14], second[b"labels"])
    # Rows hold the red plane, then green, then blue.
    np.testing.assert_array_equal(train.data[8, :, :, 1].ravel(), second[b"data"][1, 1024:2048])
    X, y = fetch_cifar10(data_home=str(tmp_path), subset="test", return_X_y=True)
    np.testing.assert_array_equal(y, content["test_batch"][b"labels"])
    both = fetch_cifar10(data_home=tmp_path, subset="all")
    np.testing.assert_array_equal(both.data[35:], X)


def test_cifar10_from_image_files(tmp_path):
    for name in CIFAR10_NAMES:
        (tmp_path / "train" / name).mkdir(parents=True)
        image = Image.fromarray(RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        image.save(tmp_path / "train" / name / "0000.png")
    X, y = fetch_cifar10(data_home=tmp_path, return_X_y=True)
    assert X.shape == (10, 32, 32, 3)
    assert y.tolist() == list(range(10))
    assert y.dtype.kind == "i"
    with pytest.raises(ValueError, match="nor folders of images named train and test"):
        fetch_cifar10(data_home=tmp_path, subset="all")
    (tmp_path / "train" / "truck").rename(tmp_path / "train" / "lorry")
    with pytest.raises(ValueError, match=r"has the classes .*lorry"):
        fetch_cifar10(data_home=tmp_path)


class RunsCode:
    def __reduce__(self):
        return print, ("this must not run",)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content.pop("data_batch_3"), "'data_batch_3' is missing or damaged"),
        (lambda content: content["data_batch_1"].pop(b"labels"), "'data_batch_1' .*labels"),
        (
            lambda content: content["data_batch_1"].update({b"labels": RunsCode()}),
            "holds no .*print",
        ),
    ],
)
@pytest.mark.parametrize("write", [as_archive, as_unpacked])
def test_damaged_cifar10_is_refused(tmp_path, capsys, write, spoil, message):
    content = batches()
    spoil(content)
    write(tmp_path, content)
    with pytest.raises(ValueError, match=message):
        fetch_cifar10(data_home=tmp_path)
    assert capsys.readouterr().out == ""


def test_truncated_archive_raises(tmp_path):
    as_archive(tmp_path, batches())
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(ValueError, match="damaged"):
        fetch_cifar10(data_home=tmp_path)


def test_missing_archive_error_names_the_file(tmp_path):
    with pytest.raises(ValueError, match=r"neither cifar-10-python.tar.gz \(from https://"):
        fetch_cifar10(data_home=tmp_path)


IN_A_PROCESS = """
import sys, keras.src.datasets.cifar10
from skcnn import fetch_cifar10
try:
    fetch_cifar10()
except OSError as error:
    print("pass data_home=" in str(error) and "cifar-10-python.tar.gz" in str(error))
# Only Keras's check of the hash of the archive is replaced.
keras.src.datasets.cifar10.get_file = lambda **_: sys.argv[1]
X, y = fetch_cifar10(return_X_y=True)
print(X.shape, X[10_000, 0, 0].tolist(), y[10_000])
X, y = fetch_cifar10(subset="test", return_X_y=True)
print(X.shape, y.dtype)
try:
    fetch_cifar10(data_home=sys.argv[2])
except ValueError as error:
    print("'data_batch_3' is missing or damaged" in str(error))
"""


def test_fetch_offline_from_keras_cache_and_from_a_pipe(tmp_path, run_python):
    content = {
        name: {
            b"data": np.full((10_000, 3072), number, np.uint8),
            b"labels": [number] * 10_000,
        }
        for number, name in enumerate(batches())
    }
    stored, piped = tmp_path / "stored", tmp_path / "piped"
    for folder, data in ((stored, content), (piped, batches())):
        folder.mkdir()
        as_unpacked(folder, data)
    pipe = piped / "cifar-10-batches-py" / "data_batch_3"
    pipe.unlink()
    os.mkfifo(pipe)
    # A proxy on a closed port makes the download fail everywhere.
    nobody = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = run_python(
        IN_A_PROCESS, str(stored), str(piped), timeout=120, KERAS_HOME=str(tmp_path), **nobody
    )
    assert done.stdout.splitlines()[-4:] == [
        "True",
        "(50000, 32, 32, 3) [1, 1, 1] 1",
        "(10000, 32, 32, 3) int64",
        "True",
    ]


# Arithmetic


@pytest.mark.parametrize("operation", ["-", "+", "*"])
def test_questions_are_distinct_and_answers_correct(operation):
    X, y = make_arithmetic(3000, operation=operation, n_digits=2, random_state=0)
    assert len(set(X)) == len(X) == len(y) == 3000
    sides = [tuple(map(int, question.split(operation))) for question in X]
    assert y.tolist() == [str(eval(f"{a}{operation}{b}")) for a, b in sides]
    assert X.tolist() == [f"{a}{operation}{b}" for a, b in sides]
    mirrored = sum((b, a) in set(sides) for a, b in sides if a != b)
    assert (mirrored > 0) == (operation == "-")
    np.testing.assert_array_equal(
        make_arithmetic(3000, operation=operation, n_digits=2, random_state=0)[0], X
    )


def test_numbers_have_one_to_n_digits_equally_often():
    X, _ = make_arithmetic(20_000, n_digits=6, random_state=0)
    left = np.array([int(question.split("-")[0]) for question in X])
    # Of six digits the first is not zero in 0.9 of the cases; five come from five or from six.
    six, five = np.mean(left >= 100_000), np.mean((left >= 10_000) & (left < 100_000))
    assert six / five == pytest.approx(0.9 / (0.9 + 0.09), abs=0.05)


@pytest.mark.parametrize(("operation", "number"), [("-", 100), ("+", 55), ("*", 55)])
def test_n_samples_up_to_the_number_of_questions(operation, number):
    X, _ = make_arithmetic(number, operation=operation, n_digits=1, random_state=0)
    assert len(set(X)) == number
    with pytest.raises(ValueError, match=rf"n_samples={number + 1} is more than the {number} "):
        make_arithmetic(number + 1, operation=operation, n_digits=1)


def test_mirrored_false_for_subtraction():
    X, y = make_arithmetic(5050, n_digits=2, mirrored=False, random_state=0)
    sides = [tuple(map(int, question.split("-"))) for question in X]
    assert len({tuple(sorted(pair)) for pair in sides}) == 5050
    assert y.tolist() == [str(a - b) for a, b in sides]
    assert 0.4 < np.mean([a < b for a, b in sides]) < 0.6
    with pytest.raises(ValueError, match=r"5051 is more than the 5050 .* mirrored=False"):
        make_arithmetic(5051, n_digits=2, mirrored=False)
    for operation in "+*":
        given, default = (
            make_arithmetic(50, operation=operation, random_state=0, **settings)[0].tolist()
            for settings in ({"mirrored": False}, {})
        )
        assert given == default


@pytest.mark.parametrize(
    "arguments",
    [
        {"operation": "/"},
        {"n_digits": 0},
        {"n_samples": 0},
        {"random_state": "a"},
        {"mirrored": "no"},
    ],
)
def test_bad_arithmetic_is_refused(arguments):
    with pytest.raises(ValueError, match=f"'{next(iter(arguments))}' parameter"):
        make_arithmetic(**arguments)


def test_default_random_state_keeps_the_global_generator():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = make_arithmetic(50)[0], make_arithmetic(50)[0]
    assert one.tolist() != other.tolist()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
