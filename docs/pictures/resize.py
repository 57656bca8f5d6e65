"""The three ways to bring a photo to a size."""

import matplotlib.pyplot as plt
from sklearn.datasets import load_sample_images

from skcnn import ImageAugmenter

photo = load_sample_images().images[0]
figure, axes = plt.subplots(
    1, 4, figsize=(8.5, 2.4), layout="constrained", width_ratios=[1.5, 1, 1, 1]
)
axes[0].imshow(photo)
axes[0].set_title(f"the photo, {photo.shape[1]} x {photo.shape[0]}")
for ax, resize in zip(axes[1:], ("stretch", "crop", "pad"), strict=True):
    background = "lightgrey" if resize == "pad" else "white"
    ax.imshow(
        ImageAugmenter().transform([photo], image_size=128, resize=resize, background=background)[
            0
        ]
    )
    ax.set_title(f'resize="{resize}"')
for ax in axes:
    ax.set_axis_off()
