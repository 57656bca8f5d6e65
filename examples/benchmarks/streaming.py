"""Rate and peak memory of a fit from memory, from a memory-mapped file and from image files.

The same images in each way, each in a process of its own: images a second of the first epoch, and
of the others, and the peak memory beyond that of a fit of a few images. Beside them the same
network in plain Keras on the same folder, read by ``image_dataset_from_directory``. Their pixels,
by default 590 MB, are more than skcnn keeps of image files in memory (512 MB). Reads a folder of
images, from which it makes others of 300 to 600 pixels::

    python examples/benchmarks/streaming.py FOLDER [--images 12000] [--size 128] [--epochs 3]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _data import machine, table
from transfer import peak, write_files

from skcnn import ImageClassifier, load_image_folder

import keras  # after skcnn, which keeps TensorFlow quiet  # isort: skip

FEW = 256
KERAS = "plain Keras, files"
WAYS = ("array", "memmap", "files", KERAS)
NETWORK = "CONV-16 -> POOL-4 -> RELU -> CONV-32 -> POOL-4 -> RELU -> GAP -> FCS"


def network(size: int, epochs: int) -> ImageClassifier:
    """Make the estimator."""
    return ImageClassifier(
        NETWORK, image_size=size, epochs=epochs, batch_size=128, optimizer="adam", random_state=0
    )


def read(way: str, folder: Path, n_images: int) -> tuple[object, np.ndarray]:
    """Return images and their labels."""
    paths, y = load_image_folder(folder / "files", return_X_y=True)
    step = max(1, len(y) // n_images)  # the files are sorted by class
    X = paths if way == "files" else np.load(folder / "pixels.npy", mmap_mode="r")
    return X[::step], y[::step]


def keras_seconds(folder: Path, size: int, epochs: int) -> list[float]:
    """Fit the same network in plain Keras and return the seconds of its epochs."""
    model = network(size, 1).fit(*read("files", folder, FEW)).model_
    data = keras.utils.image_dataset_from_directory(
        folder / "files", image_size=(size, size), batch_size=128, verbose=False
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    seconds: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seconds.append(-time.perf_counter()),
        on_epoch_end=lambda epoch, logs: seconds.append(seconds.pop() + time.perf_counter()),
    )
    model.fit(data, epochs=epochs, verbose=0, callbacks=[clock])
    return seconds


def own_seconds(way: str, folder: Path, options: argparse.Namespace) -> list[float]:
    """Fit the estimator and return the seconds of its epochs."""
    X, y = read(way, folder, options.images)
    if way == "array":
        X = np.array(X)
    fitted = network(options.size, options.epochs).fit(X, y)
    return list(fitted.history_["seconds"])


def inner(way: str, folder: Path, options: argparse.Namespace) -> None:
    """Print the seconds of the first epoch and of the others, and the memory of this process."""
    network(options.size, 1).fit(*read("files", folder, FEW))
    before = peak()
    if way == KERAS:
        seconds = keras_seconds(folder, options.size, options.epochs)
    else:
        seconds = own_seconds(way, folder, options)
    print(seconds[0], np.median(seconds[1:]), peak() - before)


def write(source: Path, folder: Path, n_images: int, size: int) -> None:
    """Write the files, and their pixels as one array."""
    (folder / "files").mkdir()
    write_files(folder / "files", source, n_images, 300, 600)
    paths, _ = load_image_folder(folder / "files", return_X_y=True)
    shape = (n_images, size, size, 3)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, shape)
    reader = network(size, 1).fit(paths[[0, -1]], [0, 1])._check_inputs(paths)
    for row in range(0, n_images, 500):
        pixels[row : row + 500] = reader[row : row + 500]
    pixels.flush()


def main() -> None:
    """Write the data, run every way and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--inner", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        inner(options.inner, options.folder, options)
        return
    print(machine(), flush=True)
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        write(options.folder, Path(folder), options.images, options.size)
        numbers = [f"--{name}={getattr(options, name)}" for name in ("images", "size", "epochs")]
        for way in WAYS * options.rounds:
            command = [sys.executable, __file__, folder, *numbers, "--inner", way]
            printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[way].append([float(value) for value in printed.stdout.split()])
            print(way, found[way][-1], flush=True)
    rows = [("images from", "first epoch", "others", "of the array", "MB more")]
    base = np.median(found["array"], axis=0)[1]
    for way in WAYS:
        first, others, memory = np.median(found[way], axis=0)
        rates = [f"{options.images / seconds:.0f}" for seconds in (first, others)]
        rows.append((way, *rates, f"{base / others:.2f}", f"{memory:.0f}"))
    print(table(rows))


if __name__ == "__main__":
    main()
