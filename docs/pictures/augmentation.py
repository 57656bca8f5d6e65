"""What each setting of ImageAugmenter does to a photo."""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from skcnn import ImageAugmenter

china, flower = (
    np.asarray(Image.fromarray(image).crop(box).resize((96, 96)))
    for image, box in zip(
        load_sample_images().images, [(60, 20, 460, 420), (170, 20, 570, 420)], strict=True
    )
)
SETTINGS = [
    {"rotation_range": 30},
    {"width_shift_range": 0.2, "height_shift_range": 0.2},
    {"zoom_range": 0.3},
    {"zoom_range": (0.5, 1.0)},
    {"horizontal_flip": True},
    {"vertical_flip": True},
    {"brightness_range": 0.3},
    {"contrast_range": 0.6},
    {"cutout": 0.4},
    {"mixup": 0.4},
    {"cutmix": 1.0},
    {"rand_augment": 0.3},
    {"rotation_range": 30, "fill_mode": "constant"},
    {"rotation_range": 30, "fill_mode": "nearest"},
]
figure = plt.figure(figsize=(9, 9.5), layout="constrained")
parts = figure.subfigures(len(SETTINGS) // 2, 2, wspace=0.03)
batch = np.stack([china, flower] * 2)
for part, settings in zip(parts.T.ravel(), SETTINGS, strict=True):
    title = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    part.suptitle(title, fontsize=9)
    changed = ImageAugmenter(**settings).transform(batch, random_state=3)
    for ax, image in zip(part.subplots(1, 4), changed, strict=True):
        ax.imshow(image)
        ax.set_axis_off()
