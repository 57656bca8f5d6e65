"""Serve an exported image classifier with FastAPI and ONNX Runtime, without skcnn or TensorFlow.

::

    net.export("digits.onnx")
    pip install fastapi uvicorn onnxruntime pillow
    SKCNN_MODEL=digits.onnx uvicorn app:app

    curl --data-binary @digit.png http://127.0.0.1:8000/predict

The body of ``/predict`` is an 8-bit image file. It is oriented, laid over the background and
resized as the metadata of the file say, which are those of the fit. The body of
``/v1/models/NAME:predict`` is that of TensorFlow Serving: arrays of pixels as JSON.

One session serves all requests: ONNX Runtime releases the lock of the interpreter.
"""

import json
import os
from io import BytesIO
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException, Request
from numpy.typing import NDArray
from PIL import Image, ImageOps
from starlette.concurrency import run_in_threadpool

Array = NDArray[Any]

session = onnxruntime.InferenceSession(os.environ["SKCNN_MODEL"])
metadata = json.loads(session.get_modelmeta().custom_metadata_map["skcnn"])
height, width, channels = metadata["input_shape"]
background = tuple(metadata["background"])
app = FastAPI(title="skcnn")


def stretch(image: Image.Image) -> Image.Image:
    """Change the aspect ratio."""
    return image.resize((width, height), Image.Resampling.BILINEAR)


def crop(image: Image.Image) -> Image.Image:
    """Cut off what is beyond the aspect ratio."""
    return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)


def pad(image: Image.Image) -> Image.Image:
    """Fill the shorter side with the background."""
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    colour = Image.new("RGB", (1, 1), background).convert(image.mode).getpixel((0, 0))
    padded = Image.new(image.mode, (width, height), colour)
    at = (width - size[0]) // 2, (height - size[1]) // 2
    padded.paste(image.resize(size, Image.Resampling.BILINEAR), at)
    return padded


RESIZE = {"stretch": stretch, "crop": crop, "pad": pad}


def read(file: bytes) -> Array:
    """Decode an image as in the fit, as a batch of one."""
    image = ImageOps.exif_transpose(Image.open(BytesIO(file)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if metadata["resize"] is not None and image.size != (width, height):
        image = RESIZE[metadata["resize"]](image)
    if image.size != (width, height):
        raise ValueError(f"the image has {image.size} pixels, not {(width, height)}")
    return np.asarray(image, np.float32).reshape(1, height, width, channels)


def run(batch: Array) -> Array:
    """Run the network."""
    (probabilities,) = session.run(["probabilities"], {"image": batch})
    return probabilities


@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """Predict the label of an image file."""
    file = await request.body()
    try:
        batch = await run_in_threadpool(read, file)
    except (OSError, ValueError) as error:
        raise HTTPException(422, f"not an image that can be read: {error}") from error
    (probabilities,) = await run_in_threadpool(run, batch)
    labels = metadata["labels"]
    return {
        "label": labels[probabilities.argmax()],
        "probabilities": dict(zip(map(str, labels), probabilities.tolist(), strict=True)),
    }


@app.post("/v1/models/{name}:predict")
async def predict_arrays(name: str, request: Request) -> dict[str, Any]:
    """Predict probabilities of arrays of pixels, as TensorFlow Serving does."""
    try:
        batch = np.asarray((await request.json())["instances"], np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise HTTPException(400, f"instances must be arrays of pixels: {error!r}") from error
    if batch.shape[1:] != (height, width, channels):
        expected = (height, width, channels)
        raise HTTPException(400, f"instances have shape {batch.shape[1:]}, not {expected}")
    return {"predictions": (await run_in_threadpool(run, batch)).tolist()}
