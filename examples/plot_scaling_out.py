"""
Search on several processes or machines
=======================================

The fits of a search are independent, so they can run at the same time: in processes of this
machine, or on the workers of a Dask cluster. Estimators, data and results travel as they are.

*Needs* ``pip install 'skcnn[distributed]'``.
"""

# %%
# Processes of one machine
# ------------------------
# ``n_jobs=2`` starts two processes, each of which keeps to its share of the cores. The processes
# take seconds to start, so this is for fits that are longer than these.

# sphinx_gallery_thumbnail_number = 1
import time

import dask
import matplotlib.pyplot as plt
import numpy as np
from dask.distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV

from skcnn import ImageAugmenter, StackedCNN, load_digit_images

X, y = load_digit_images(return_X_y=True)
X, y = X[:600], y[:600]


def search():
    """Make a search over training and augmentation."""
    net = StackedCNN(epochs=6, augmentation=ImageAugmenter(), random_state=0)
    grid = {"learning_rate": [0.003, 0.01], "augmentation__width_shift_range": [0, 0.1]}
    return GridSearchCV(net, grid, cv=2, error_score="raise")


def timed(name, run):
    """Fit a search and print its seconds."""
    start = time.perf_counter()
    fitted = run()
    print(f"{name}: {time.perf_counter() - start:.1f} s, best {fitted.best_params_}")
    return fitted


# The processes import this file, so only the one that was started may go on.
if __name__ == "__main__":
    here = timed("one process", lambda: search().fit(X, y))
    local = timed("two processes", lambda: search().set_params(n_jobs=2).fit(X, y))

# %%
# A Dask cluster
# --------------
# Inside ``parallel_config("dask")`` the same search runs on the workers of a cluster, which may be
# other machines: ``Client("tcp://scheduler:8786")``. Here they are two processes of this one.
# Large data are sent once, if they are scattered: ``parallel_config("dask", scatter=[X, y])``. By
# default Dask has its workers return memory to the system as soon as they free it; without that,
# training takes 0.6 of the processor time.

if __name__ == "__main__":
    dask.config.set({"distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1}})
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
        parallel_config("dask"),
    ):
        remote = timed("Dask", lambda: search().fit(X, y))

# %%
# The same results
# ----------------
# With one ``random_state`` every fit is the same wherever it runs, but for the rounding of sums
# that are split over another number of threads.

if __name__ == "__main__":
    results = {"here": here, "two processes": local, "Dask": remote}
    scores = {name: each.cv_results_["mean_test_score"] for name, each in results.items()}
    figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
    for (name, values), marker in zip(scores.items(), "o+x", strict=True):
        ax.plot(values, np.arange(4), marker, markersize=9, label=name)
    labels = [", ".join(f"{v}" for v in p.values()) for p in here.cv_results_["params"]]
    ax.set_yticks(np.arange(4), labels)
    ax.set(ylabel="shift, learning rate", xlabel="Accuracy in cross-validation")
    ax.legend()
    plt.show()
