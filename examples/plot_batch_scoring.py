"""
Score a folder of images on several workers
===========================================

One ``.skcnn`` file, a folder with thousands of images, and the workers of a Dask cluster: each
loads the file once and predicts some images at a time. A file that cannot be read is listed and
does not end the run.

*Needs* ``pip install 'skcnn[distributed]'``.
"""

# %%
# A fitted estimator and a folder
# -------------------------------
# Digits stand for the images. Two files are damaged.

import functools
import os
import tempfile
import time
from pathlib import Path

import dask
import matplotlib.pyplot as plt
import numpy as np
from dask.distributed import Client, LocalCluster, get_worker
from PIL import Image

import skcnn

N_IMAGES = int(os.environ.get("N_IMAGES", "2000"))


def write(folder):
    """Fit and save an estimator, and write a folder of images."""
    X, y = skcnn.load_digit_images(return_X_y=True)
    grey = np.rint(X.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    skcnn.MiniCNN(epochs=10, random_state=0).fit(grey[:1000], y[:1000]).save(folder / "net.skcnn")
    grey, y = grey[1000:], y[1000:]
    (folder / "images").mkdir()
    for row in range(N_IMAGES):
        Image.fromarray(grey[row % len(grey)]).save(folder / "images" / f"{row:05}.png")
    for row in (7, N_IMAGES // 2):
        (folder / "images" / f"{row:05}.png").write_bytes(b"damaged")
    return y[np.arange(N_IMAGES) % len(y)]


# %%
# What a worker does
# ------------------
# ``predict`` names all files that it cannot read. The few parts with such a file are read again,
# one by one.


def score(path, images):
    """Predict images; return the labels, None where a file cannot be read, and the errors."""
    worker = get_worker()
    if not hasattr(worker, "estimator"):  # the first part of this worker
        worker.estimator = skcnn.load(path)
    net = worker.estimator
    try:
        return list(net.predict(images)), {}
    except ValueError:
        labels, errors = [], {}
        for image in images:
            try:
                labels.append(net.predict([image])[0])
            except ValueError as error:
                labels.append(None)
                errors[image] = str(error)
        return labels, errors


# %%
# The cluster
# -----------
# ``Client("tcp://scheduler:8786")`` connects to other machines; the folder must then be one that
# they share. Here two processes of this machine are the workers, which keep memory that they free
# rather than to return it at once, as Dask has them do by default. Only paths and labels travel.

if __name__ == "__main__":
    dask.config.set({"distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1}})
    with (
        tempfile.TemporaryDirectory() as name,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        y = write(Path(name))
        paths = sorted(map(str, Path(name, "images").glob("*.png")))
        parts = [paths[start : start + 250] for start in range(0, len(paths), 250)]
        start = time.perf_counter()
        futures = client.map(functools.partial(score, str(Path(name, "net.skcnn"))), parts)
        results = client.gather(futures)
        print(
            f"{len(paths)} images in {time.perf_counter() - start:.1f} s, workers' start included"
        )

    labels = [label for part, _ in results for label in part]
    errors = {path: error for _, failed in results for path, error in failed.items()}
    for error in errors.values():
        print(error.replace(name, "..."))
    known = np.array([label is not None for label in labels])
    right = np.array(labels, dtype=object)[known] == y[known]
    print(f"accuracy {right.mean():.3f} of {known.sum()} images, {len(errors)} could not be read")

# %%
# How many of each class
# ----------------------

if __name__ == "__main__":
    counts = np.bincount(np.array(labels, dtype=object)[known].astype(int), minlength=10)
    figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
    ax.bar(np.arange(10), counts)
    ax.set(xlabel="predicted class", ylabel="images", xticks=np.arange(10))
    plt.show()
