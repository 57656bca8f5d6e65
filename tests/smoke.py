"""Check an installed skcnn: `make test-wheel` runs this with the Python of a new environment."""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path


def main():
    import skcnn

    assert Path(skcnn.__file__).is_relative_to(sys.prefix), f"{skcnn.__file__} is not installed"
    assert version("skcnn") == skcnn.__version__
    assert Path(skcnn.__file__).with_name("py.typed").is_file()
    X, y = skcnn.load_digit_images(return_X_y=True)
    net = skcnn.MiniCNN(epochs=3, random_state=0).fit(X[:1000], y[:1000])
    score = net.score(X[1000:], y[1000:])
    with tempfile.TemporaryDirectory() as folder:
        net.save(Path(folder, "digits.skcnn"))
        loaded = skcnn.load(Path(folder, "digits.skcnn"))
    assert (loaded.predict_proba(X) == net.predict_proba(X)).all()
    assert score > 0.7, f"accuracy is only {score:.2f}"
    print(f"skcnn {version('skcnn')} on Python {sys.version.split()[0]}: accuracy {score:.2f}")


if __name__ == "__main__":
    main()
