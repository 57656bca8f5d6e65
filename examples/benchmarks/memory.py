"""Peak memory of fitting VGGLite on a large array, beside that of fitting a few of its rows.

Each size is fitted for one epoch in a process of its own; what the peaks differ by is what the
data cost, the array itself included. `memmap` reads the same pixels from a file::

    python examples/benchmarks/memory.py [--samples 50000]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from skcnn import ImageAugmenter, VGGLite

FEW = 1024


def fit(path: str, n_samples: int, mapped: bool) -> None:
    """Fit in this process and print its peak memory in bytes."""
    X = np.load(path, mmap_mode="r") if mapped else np.load(path)
    y = np.arange(n_samples) % 10
    augmentation = ImageAugmenter(horizontal_flip=True, width_shift_range=0.1)
    VGGLite(epochs=1, augmentation=augmentation, random_state=0).fit(X[:n_samples], y)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    """Run every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--fit", nargs=3, metavar=("FILE", "SAMPLES", "MAPPED"))
    options = parser.parse_args()
    if options.fit:
        fit(options.fit[0], int(options.fit[1]), options.fit[2] == "True")
        return
    with tempfile.TemporaryDirectory() as folder:
        peaks = {}
        for n in (FEW, options.samples):
            path = Path(folder) / f"{n}.npy"
            np.save(path, np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8))
            for mapped in (False, True):
                command = [sys.executable, __file__, "--fit", str(path), str(n), str(mapped)]
                printed = subprocess.run(command, capture_output=True, text=True, check=True)
                peaks[n, mapped] = int(printed.stdout)
    size = (options.samples - FEW) * 32 * 32 * 3
    for mapped in (False, True):
        more = peaks[options.samples, mapped] - peaks[FEW, mapped]
        print(
            f"{'memmap' if mapped else 'array':6}: peak {peaks[FEW, mapped] / 1e6:.0f} MB for "
            f"{FEW} images, {peaks[options.samples, mapped] / 1e6:.0f} MB for {options.samples}: "
            f"{more / 1e6:.0f} MB more for {size / 1e6:.0f} MB of pixels, {more / size:.2f}x"
        )


if __name__ == "__main__":
    main()
