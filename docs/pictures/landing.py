"""The network of the landing page, on photos that it has not seen."""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

import skcnn

sys.path.insert(0, str(Path(skcnn.__file__).parents[1] / "examples"))
from sample_photos import make_photo_folder, pretrained

folder = tempfile.mkdtemp()
print("Landing page:", make_photo_folder(folder))
network, about = pretrained(image_size=128)
print("Landing page:", about)

photos = skcnn.load_image_folder(folder)
X, X_test, y, y_test = train_test_split(
    photos.data, photos.target, test_size=0.25, stratify=photos.target, random_state=0
)
net = skcnn.PretrainedClassifier(**network, random_state=0).fit(X, y)
probability = net.predict_proba(X_test)
predicted = net.classes_[probability.argmax(axis=1)]

# Photos of every class in turn.
order = np.argsort(
    [np.sum(y_test[:row] == y_test[row]) for row in range(len(y_test))], kind="stable"
)
images = skcnn.ImageAugmenter().transform(list(X_test[order[:12]]), image_size=160, resize="pad")
figure, axes = plt.subplots(2, 6, figsize=(10.5, 3.9), layout="constrained")
for ax, row, image in zip(axes.ravel(), order, images, strict=False):
    right = predicted[row] == y_test[row]
    ax.imshow(image)
    ax.set_title(
        f"{predicted[row]} {probability[row].max():.0%}", color="#1f5f99" if right else "#d55e00"
    )
    ax.set_axis_off()
figure.supxlabel(
    f"{len(X)} photos to learn from; {np.mean(predicted == y_test):.1%} of {len(y_test)} others "
    f"are right. {about[0].upper()}{about[1:]}.",
    fontsize=8,
    color="0.35",
)
