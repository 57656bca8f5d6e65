"""The landing page and getting started, copied block by block, on a new folder of photos."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import skcnn

DOCS = Path(__file__).parents[1] / "docs"
# The only line that is replaced: MobileNetV2 would be downloaded.
NETWORK = 'network = {"backbone": "MobileNetV2", "image_size": 128, "resize": "pad"}\n'


def shown_cells():
    """Code of the page, without the cells that only the build of the page needs."""
    cells = re.findall(
        r"^```\{code-cell\} ipython3\n(.*?)^```$",
        (DOCS / "getting_started.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    return [cell for cell in cells if not cell.startswith(":tags:")]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Fill a folder as people do: formats, sizes, orientations, a broken file, a system file."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, photo in zip(("temple", "dahlia"), load_sample_images().images, strict=True):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(24):
            height, width = rng.integers(50, 200, 2)
            top, left = (
                rng.integers(0, s - n) for s, n in zip(photo.shape, (height, width), strict=False)
            )
            part = Image.fromarray(photo[top : top + height, left : left + width])
            part.save(folder / f"{number:02}{('.jpg', '.png', '.webp')[number % 3]}")
        part.convert("RGBA").save(folder / "transparent.png")
        part.convert("L").save(folder / "grey.jpg")
        (folder / ".DS_Store").write_bytes(b"")
    (folder / "broken.jpg").write_bytes(b"no photo")
    part.save("new_photo.jpg")
    return tmp_path


@pytest.fixture(scope="module")
def backbone():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    X[::2, 8:24] //= 4
    net = skcnn.ImageClassifier(
        "CONV-8 -> RELU -> POOL -> CONV-8 -> RELU -> POOL -> GAP -> FCS",
        image_size=32,
        resize="pad",
        epochs=2,
        random_state=0,
    )
    return net.fit(X, np.arange(40) % 2)


@pytest.fixture(autouse=True)
def _no_windows():
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")


def test_getting_started_runs_on_a_new_folder_of_photos(photos, backbone):
    pytest.importorskip("onnxruntime")
    cells = shown_cells()
    assert len(cells) > 12
    assert cells.count(NETWORK) == 1
    namespace = {}
    for cell in cells:
        if cell == NETWORK:
            namespace["network"] = {"backbone": backbone}
        else:
            exec(compile(cell, "getting_started.md", "exec"), namespace)
    assert len(namespace["photos"].data) == 52
    assert len(namespace["photos"].skipped) == 1
    assert namespace["best"].score(namespace["X_test"], namespace["y_test"]) > 0.5
    assert (photos / "photos.skcnn").stat().st_size > 0
    assert namespace["labels"] == ["dahlia", "temple"]
    # The exported network resizes as the estimator does, but for rounding.
    expected = namespace["best"].predict_proba(namespace["X_test"][:1])
    np.testing.assert_allclose(namespace["output"], expected, atol=0.05)


def test_the_landing_page_runs_on_a_new_folder_of_photos(photos, backbone):
    (photos / "photos" / "temple" / "broken.jpg").unlink(missing_ok=True)
    (photos / "photos" / "dahlia" / "broken.jpg").unlink(missing_ok=True)
    page = (DOCS / "index.rst").read_text()
    (block,) = re.findall(
        r"^\.\. code-block:: python\n\n(.*?)^\.\. plot::", page, re.DOTALL | re.MULTILINE
    )
    code = re.sub(r"^   ", "", block, flags=re.MULTILINE)
    assert len(code.split("\n\n", 1)[1].strip().splitlines()) + 1 <= 5
    namespace = {"backbone": backbone}
    network = '"MobileNetV2", image_size=128'
    assert code.count(network) == 1
    exec(code.replace(network, "backbone"), namespace)
    assert set(namespace["net"].classes_) == {"dahlia", "temple"}
    assert namespace["net"].predict(["new_photo.jpg"]).shape == (1,)
