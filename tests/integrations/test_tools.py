"""Tools around estimators with images, with rows of pixels and with paths of image files."""

import numpy as np
import pytest
from PIL import Image
from tool_table import KINDS, TOOLS, table, written

from skcnn import ImageClassifier, load_digit_images

IMPORTS = {"imbalanced-learn": "imblearn", "MAPIE": "mapie", "cleanlab": "cleanlab"}
X, Y = load_digit_images(return_X_y=True)
X = np.rint(X[Y < 3][:60] * 15).astype(np.uint8)
Y = Y[Y < 3][:60]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    paths = [str(folder / f"{number}.png") for number in range(len(X))]
    for path, image in zip(paths, X, strict=True):
        Image.fromarray(image).save(path)
    return {"images": X[..., None], "rows": X.reshape(len(X), -1), "paths": np.array(paths)}


@pytest.mark.filterwarnings("ignore")  # those of the tools
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("package", "taken", "run"),
    [pytest.param(package, taken, run, id=name) for package, name, taken, run in TOOLS],
)
def test_a_tool_takes_what_the_table_says(samples, package, taken, run, kind):
    if package in IMPORTS:
        pytest.importorskip(IMPORTS[package])
    shape = (8, 8) if kind == "rows" else None
    net = ImageClassifier("FCS", input_shape=shape, epochs=12, learning_rate=0.03, random_state=0)
    if kind in taken:
        assert run(net, samples[kind], Y) > 0.8
    else:
        with pytest.raises((ValueError, TypeError, AssertionError, UserWarning)):
            run(net, samples[kind], Y)


def test_the_guide_has_the_table_of_the_tests():
    assert written() == table()
