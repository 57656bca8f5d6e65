"""Size and speed of the pretrained networks: parameters, operations, seconds for 1,000 images.

The weights are random, which takes the same time; images are in memory, in batches as
`ImageFeatures` reads them::

    python examples/benchmarks/backbones.py [--images 200]
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from _data import machine, table

from skcnn import ImageFeatures
from skcnn.image.backbones import BACKBONES, build_backbone

import keras  # isort: skip

SIZES = (96, 224)


def operations(model: keras.Model) -> int:
    """Count the multiplications and additions of one image, each pair as one."""
    total = 0
    for layer in model.layers:
        pixels = math.prod(layer.output.shape[1:-1])
        for weight in layer.weights:
            # What has no kernel is of no importance.
            if "kernel" in weight.name:
                total += pixels * math.prod(weight.shape)
    return total


def seconds(name: str, size: int, n_images: int) -> float:
    """Time the features of images."""
    X = np.random.default_rng(0).integers(0, 256, (n_images, size, size, 3), np.uint8)
    features = ImageFeatures(name, weights=None, image_size=size).fit(X[:1])
    features.transform(X[:64])
    start = time.perf_counter()
    features.transform(X)
    return time.perf_counter() - start


def main() -> None:
    """Measure all networks of the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    print(machine())
    rows = [("network", "parameters", *(f"{n} px: {w}" for n in SIZES for w in ("GMAC", "s")))]
    for name in BACKBONES:
        row = [name, f"{build_backbone(name, input_shape=(32, 32, 3)).count_params() / 1e6:.1f} M"]
        for size in SIZES:
            model = build_backbone(name, input_shape=(size, size, 3))
            time_of_all = seconds(name, size, options.images) * 1000 / options.images
            row += [f"{operations(model) / 1e9:.2f}", f"{time_of_all:.1f}"]
        rows.append(tuple(row))
        print(rows[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
