"""Pretrained networks on few photographs, beside plain Keras and networks from nothing.

Reads a folder with one sub-folder of 32x32 images per class (CIFAR-10, JPEG copy), the weights of
MobileNetV2 without its top, and the stamps of Tux Paint (Debian package tuxpaint-stamps-default),
of which it takes 178 photographs in six classes::

    python examples/benchmarks/transfer.py FOLDER --weights FILE [--stamps FOLDER] [--only photos]

Each part is run with three seeds; accuracies are mean and spread. By hand is the same in plain
Keras and scikit-learn: images over white and padded to a square, features of every fold anew.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _data import machine
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

from skcnn import ImageAugmenter, ImageFeatures, PretrainedClassifier, VGGLite, load_image_folder

import keras  # isort: skip

SEEDS = (0, 1, 2)
SIZE = 224
CLASSES = (
    "animals/mammals",
    "animals/birds",
    "animals/insects",
    "food/fruit",
    "food/vegetables",
    "plants/flowers",
)


def stamps(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """List the photographs among the stamps and their classes."""
    X, y = [], []
    for name in CLASSES:
        for path in sorted((root / name).rglob("*.png")):
            if "cartoon" not in str(path.relative_to(root)).lower():
                X.append(str(path))
                y.append(name.partition("/")[2])
    return np.array(X), np.array(y)


def folds(X: np.ndarray, y: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split the photographs."""
    return list(StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y))


# By hand


def decoded(paths: np.ndarray) -> np.ndarray:
    """Read images over white, padded to a square, in plain Pillow."""
    images = []
    for path in paths:
        image = Image.open(path).convert("RGBA")
        side = max(image.size)
        square = Image.new("RGBA", (side, side), "white")
        square.alpha_composite(image, ((side - image.width) // 2, (side - image.height) // 2))
        images.append(np.asarray(square.convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)))
    return np.stack(images).astype(np.float32)


def base_network(weights: str) -> keras.Model:
    """Build the network of plain Keras."""
    return keras.applications.MobileNetV2(
        include_top=False, weights=weights, input_shape=(SIZE, SIZE, 3), pooling="avg"
    )


def prepared(paths: np.ndarray) -> np.ndarray:
    """Read images and prepare their pixels."""
    return keras.applications.mobilenet_v2.preprocess_input(decoded(paths))


def features_by_hand(weights: str) -> Callable[..., float]:
    """Score logistic regression on features of plain Keras."""
    base = base_network(weights)

    def score(X, y, train, test, seed):
        parts = [base.predict(prepared(X[rows]), verbose=0) for rows in (train, test)]
        return LogisticRegression(max_iter=2000).fit(parts[0], y[train]).score(parts[1], y[test])

    return score


def tuned_by_hand(weights: str, net: PretrainedClassifier) -> Callable[..., float]:
    """Score a network of plain Keras: the head on features, then all layers."""

    def score(X, y, train, test, seed):
        keras.utils.set_random_seed(seed)
        base = base_network(weights)
        classes, codes = np.unique(y, return_inverse=True)
        images = prepared(X[train])
        head = keras.Sequential(
            [keras.layers.Dropout(net.dropout), keras.layers.Dense(len(classes), "softmax")]
        )
        loss = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
        options = {"batch_size": net.batch_size, "verbose": 0}
        head.compile(keras.optimizers.Adam(1e-3), **loss)
        features = base.predict(images, verbose=0)
        head.fit(features, codes[train], epochs=net.frozen_epochs, **options)
        inputs = keras.Input((SIZE, SIZE, 3))
        model = keras.Model(inputs, head(base(inputs, training=False)))
        model.compile(keras.optimizers.Adam(1e-4), **loss)
        model.fit(images, codes[train], epochs=net.epochs, **options)
        predicted = model.predict(prepared(X[test]), verbose=0).argmax(axis=1)
        return float((predicted == codes[test]).mean())

    return score


# Photographs


def photos(root: Path, weights: str) -> None:
    """Compare features and fine-tuning with plain Keras, five folds of each seed."""
    X, y = stamps(root)
    print(f"{len(X)} photographs of {len(set(y))} classes, {SIZE} px, five folds")
    reading = {"weights": weights, "image_size": SIZE, "resize": "pad"}
    pipeline = make_pipeline(ImageFeatures(**reading), LogisticRegression(max_iter=2000))
    net = PretrainedClassifier(**reading)

    def fitted(estimator):
        def score(X, y, train, test, seed):
            if hasattr(estimator, "random_state"):
                estimator.set_params(random_state=seed)
            return estimator.fit(X[train], y[train]).score(X[test], y[test])

        return score

    ways = {
        "features, by hand": features_by_hand(weights),
        "ImageFeatures": fitted(pipeline),
        "fine-tuned, by hand": tuned_by_hand(weights, net),
        "PretrainedClassifier": fitted(net),
    }
    rows: dict[str, tuple[list, list]] = {name: ([], []) for name in ways}
    for seed in SEEDS:
        for name, score in ways.items():
            start = time.perf_counter()
            rows[name][0].append(np.mean([score(X, y, *fold, seed) for fold in folds(X, y, seed)]))
            rows[name][1].append(time.perf_counter() - start)
    for name, row in rows.items():
        show(name, *row)


# Augmentation

SETTINGS = {
    "none": None,
    "horizontal_flip=True": ImageAugmenter(horizontal_flip=True),
    "cutmix=1.0": ImageAugmenter(cutmix=1.0),
    "rand_augment=0.4": ImageAugmenter(rand_augment=0.4),
    "zoom_range=(0.5, 1.0)": ImageAugmenter(zoom_range=(0.5, 1.0)),
    "flip and zoom": ImageAugmenter(horizontal_flip=True, zoom_range=(0.5, 1.0)),
}


def augmentation(root: Path, weights: str) -> None:
    """Compare what augmentation brings, five folds of each seed."""
    X, y = stamps(root)
    print(f"{len(X)} photographs of {len(set(y))} classes, 97 px, five folds")
    reading = {"weights": weights, "image_size": 97, "resize": "pad"}
    for name, augmentation in SETTINGS.items():
        means, seconds = [], []
        for seed in SEEDS:
            start = time.perf_counter()
            net = PretrainedClassifier(augmentation=augmentation, random_state=seed, **reading)
            split = folds(X, y, seed)
            means.append(np.mean([net.fit(X[a], y[a]).score(X[b], y[b]) for a, b in split]))
            seconds.append(time.perf_counter() - start)
        show(name, means, seconds)


# Few labels


def few_labels(folder: Path, weights: str) -> None:
    """Compare the head alone, fine-tuning and a network from nothing on small images."""
    images = load_image_folder(folder)
    rows = [np.flatnonzero(images.target == name) for name in images.target_names]
    test = np.concatenate([row[200:300] for row in rows])
    X_test, y_test = images.data[test], images.target[test]
    for number in (200, 20):
        train = np.concatenate([row[:number] for row in rows])
        X, y = images.data[train], images.target[train]
        print(f"{len(X)} training and {len(X_test)} held-out images of {len(rows)} classes, 97 px")
        reading = {"weights": weights, "image_size": 97}
        for name, net in {
            "head alone": PretrainedClassifier(trainable=0, **reading),
            "fine-tuned, 4 epochs": PretrainedClassifier(epochs=4, **reading),
            "VGGLite": VGGLite(),
        }.items():
            scores, seconds = [], []
            for seed in SEEDS:
                start = time.perf_counter()
                net.set_params(random_state=seed).fit(X, y)
                seconds.append(time.perf_counter() - start)
                scores.append(net.score(X_test, y_test))
            show(name, scores, seconds)
        net = PretrainedClassifier(epochs=4, random_state=0, **reading)
        accuracy = net.fit(X, y, X_val=X_test, y_val=y_test).history_["val_accuracy"]
        first = net.frozen_epochs - 1
        print("  the head, then its epochs: " + ", ".join(f"{a:.3f}" for a in accuracy[first:]))


# Memory and throughput


def write_files(folder: Path, source: Path, number: int, low: int, high: int) -> list[str]:
    """Write JPEG files of other sizes, made of small ones."""
    rng, paths = np.random.default_rng(0), []
    found = sorted(source.rglob("*.jpg"))
    for row in range(number):
        sides = rng.integers(low, high + 1, 2).tolist()
        image = Image.open(found[row % len(found)]).resize(sides, Image.BICUBIC)
        target = folder / str(row % 2) / f"{row:05}.jpg"
        target.parent.mkdir(exist_ok=True)
        image.save(target, quality=90)
        paths.append(str(target))
    return paths


def peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def features_in_this_process(folder: str, weights: str) -> None:
    """Print the peak memory with the features of a few files and of all."""
    paths = sorted(map(str, Path(folder).rglob("*.jpg")))
    features = ImageFeatures(weights=weights).fit(paths[:100])
    features.transform(paths[:100])
    before = peak()
    features.transform(paths)
    print(f"{len(paths)} files: {peak() - before:.0f} MB beyond the network")


def memory(source: Path, weights: str) -> None:
    """Measure the memory of the features of many files, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), source, 20_000, SIZE, SIZE)
        command = [sys.executable, __file__, folder, "--weights", weights, "--only", "inner"]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="")


def seconds_of(call: Callable[[], object]) -> float:
    """Time a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def throughput(source: Path, weights: str) -> None:
    """Compare images a second with plain Keras on the same files."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder), source, 2000, 300, 600)
        features = ImageFeatures(weights=weights, resize="stretch").fit(paths[:100])
        features.transform(paths[:100])
        base = base_network(weights)
        data = keras.utils.image_dataset_from_directory(
            folder, image_size=(SIZE, SIZE), batch_size=32, shuffle=False, verbose=False
        ).map(lambda X, y: keras.applications.mobilenet_v2.preprocess_input(X))
        base.predict(data.take(2), verbose=0)
        images = features._check_inputs(paths)
        pixels = images[:500]
        for _ in SEEDS:
            plain = seconds_of(lambda: base.predict(data, verbose=0))
            own = seconds_of(lambda: features.transform(paths))
            decoding = seconds_of(lambda: [images[row : row + 27] for row in range(0, 2000, 27)])
            network = 4 * seconds_of(lambda: features.transform(pixels))
            print(
                f"images a second: plain Keras {2000 / plain:.0f}, ImageFeatures {2000 / own:.0f} "
                f"({plain / own:.2f}x); decoding alone {2000 / decoding:.0f}, network alone "
                f"{2000 / network:.0f}; {max(decoding, network) / own:.2f} of the slower"
            )


def show(name: str, scores: list[float], seconds: list[float]) -> None:
    """Print a line of a table."""
    print(
        f"  {name:22} {np.mean(scores):.3f} +- {np.std(scores):.3f}  {np.mean(seconds):6.1f} s",
        flush=True,
    )


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--stamps", type=Path, default=Path("/usr/share/tuxpaint/stamps"))
    parts = ("photos", "labels", "memory", "throughput", "augmentation")
    parser.add_argument("--only", action="append", choices=(*parts, "inner"))
    options = parser.parse_args()
    if options.only == ["inner"]:
        features_in_this_process(str(options.folder), options.weights)
        return
    print(machine(), flush=True)
    chosen = options.only or parts
    if "photos" in chosen:
        photos(options.stamps, options.weights)
    if "augmentation" in chosen:
        augmentation(options.stamps, options.weights)
    if "labels" in chosen:
        few_labels(options.folder, options.weights)
    if "memory" in chosen:
        memory(options.folder, options.weights)
    if "throughput" in chosen:
        throughput(options.folder, options.weights)


if __name__ == "__main__":
    main()
