"""Photos and a pretrained network for the examples, from whatever this machine has.

The photos are those of Tux Paint's stamps (Debian package tuxpaint-stamps-default, or the folder
that the environment variable ``SKCNN_STAMPS`` names): 178 cut-out photos in six classes. Without
them, shapes are drawn on coloured backgrounds.

The network is MobileNetV2 with the weights for ImageNet: those that Keras has cached or can
download, or the file that ``SKCNN_WEIGHTS`` names. Without them a small network is trained on
drawn shapes, which takes half a minute.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

STAMPS = Path(os.environ.get("SKCNN_STAMPS", "/usr/share/tuxpaint/stamps"))
CLASSES = [
    "animals/birds",
    "animals/insects",
    "animals/mammals",
    "food/fruit",
    "food/vegetables",
    "plants/flowers",
]
SHAPES = {"triangle": (3, False), "square": (4, False), "star": (5, True), "disc": (60, False)}
OTHER_SHAPES = [(5, False), (6, False), (8, False), (3, True), (4, True), (7, True)]


def make_photo_folder(folder: str | os.PathLike[str]) -> str:
    """Fill a folder with one sub-folder of photos a class; return what they are."""
    folder = Path(folder)
    found = {name: _photos(STAMPS / name) for name in CLASSES}
    if all(found.values()):
        for name, paths in found.items():
            target = folder / name.partition("/")[2]
            target.mkdir(parents=True, exist_ok=True)
            for path in paths:
                link = target / path.name
                if not link.exists():
                    link.symlink_to(path)
        n_photos = sum(map(len, found.values()))
        return f"{n_photos} cut-out photos of Tux Paint's stamps"
    rng = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(40):
            drawing(rng, *shape).save(folder / name / f"{number:02}.jpg")
    return "160 drawings of shapes, because Tux Paint's photos are not installed"


def _photos(folder: Path) -> list[Path]:
    """List the photos of a class, without drawings."""
    return [
        path
        for path in sorted(folder.rglob("*.png"))
        if "cartoon" not in str(path.relative_to(STAMPS)).lower()
    ]


def drawing(rng: np.random.Generator, n_corners: int, star: bool = False) -> Image.Image:
    """Draw a shape of a random colour, place and turn on a background."""
    width, height = rng.integers(60, 120, 2)
    ground = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(ground).resize((width, height), Image.Resampling.BICUBIC)
    n_points = 2 * n_corners if star else n_corners
    angles = np.arange(n_points) / n_points * 2 * np.pi + rng.uniform(0, 2 * np.pi)
    radii = np.where(np.arange(n_points) % 2, 0.45, 1.0) if star else np.ones(n_points)
    radii = radii * min(width, height) * rng.uniform(0.25, 0.4)
    points = np.column_stack(
        [width / 2 + radii * np.cos(angles), height / 2 + radii * np.sin(angles)]
    )
    colour = tuple(rng.integers(0, 256, 3).tolist())
    ImageDraw.Draw(image).polygon([tuple(point) for point in points.tolist()], fill=colour)
    return image


def pretrained(image_size: int = 128) -> tuple[dict[str, Any], str]:
    """Return the parameters of a pretrained network, and what it is."""
    from skcnn import ImageFeatures

    weights = os.environ.get("SKCNN_WEIGHTS", "imagenet")
    network = {
        "backbone": "MobileNetV2",
        "weights": weights,
        "image_size": image_size,
        "resize": "pad",
    }
    if weights == "imagenet":
        del network["weights"]  # the default
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Keras reports the download
            ImageFeatures(**network).fit(np.zeros((1, 32, 32, 3), np.uint8))
    except OSError:  # neither a file nor a connection
        return {"backbone": _small_network()}, (
            "a small network trained on drawings, because the weights of MobileNetV2 "
            "cannot be downloaded"
        )
    return network, "MobileNetV2, trained on ImageNet"


def _small_network() -> Any:
    """Train a network on drawings of other shapes."""
    from skcnn import ImageClassifier

    rng = np.random.default_rng(1)
    images = [drawing(rng, *shape) for shape in OTHER_SHAPES for _ in range(60)]
    labels = np.repeat(np.arange(len(OTHER_SHAPES)), 60)
    network = ImageClassifier(
        "[[CONV-16 -> RELU]*2 -> POOL] -> [[CONV-32 -> RELU]*2 -> POOL]*2 -> GAP -> FCS",
        image_size=48,
        resize="pad",
        epochs=15,
        random_state=0,
    )
    return network.fit(images, labels)
