"""The recipe of airbench94 on a processor, in PyTorch.

K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, with Muon for the convolutions
as in the author's later version: a whitened first layer, kernels that start as the identity,
shifts of two pixels, flips in every other epoch, label smoothing of 0.2, and the average over
flipped and shifted images in the end. bfloat16, channels last.
"""

from __future__ import annotations

import time

import torch
from torch import nn
from torch.nn import functional

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BIAS_RATE, HEAD_RATE, MUON_RATE = 0.053, 0.67, 0.24
BIAS_EPOCHS = 3
SHIFT = 2


def convolution(n_inputs: int, n_outputs: int) -> nn.Module:
    """Make a convolution that starts as the identity of the first channels."""
    layer = nn.Conv2d(n_inputs, n_outputs, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:n_inputs])
    return layer


def normalization(n_channels: int) -> nn.Module:
    """Make a batch normalization without scale."""
    layer = nn.BatchNorm2d(n_channels, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad = False
    return layer


def block(n_inputs: int, n_outputs: int) -> list[nn.Module]:
    """Make two convolutions with a pooling between them."""
    return [
        convolution(n_inputs, n_outputs),
        nn.MaxPool2d(2),
        normalization(n_outputs),
        nn.GELU(),
        convolution(n_outputs, n_outputs),
        normalization(n_outputs),
        nn.GELU(),
    ]


def whitening(X: torch.Tensor) -> torch.Tensor:
    """Return the principal components of patches, scaled, and their negatives."""
    patches = X[:5000].unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    kernels = vectors.T.reshape(-1, 3, 2, 2) / torch.sqrt(values.view(-1, 1, 1, 1) + 5e-4)
    return torch.cat([kernels, -kernels])


class Muon:
    """Updates of kernels by orthogonal matrices of a fixed norm."""

    def __init__(self, kernels: list[nn.Parameter]) -> None:
        self.momenta = {kernel: torch.zeros_like(kernel) for kernel in kernels}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update all kernels."""
        for kernel, momentum in self.momenta.items():
            momentum.mul_(0.6).add_(kernel.grad)
            matrix = (kernel.grad + 0.6 * momentum).reshape(len(kernel), -1)
            kernel.mul_(len(kernel) ** 0.5 / kernel.norm())
            matrix /= matrix.norm() + 1e-7
            tall = matrix.shape[0] > matrix.shape[1]
            matrix = matrix.T if tall else matrix
            for _ in range(3):
                gram = matrix @ matrix.T
                matrix = 3.4445 * matrix + (-4.7750 * gram + 2.0315 * gram @ gram) @ matrix
            kernel.add_((matrix.T if tall else matrix).reshape(kernel.shape), alpha=-rate)


class Airbench:
    """The network with its training."""

    def __init__(self, batch_size: int, *, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.batch_size = batch_size
        self.first = nn.Conv2d(3, 24, 2)
        self.first.weight.requires_grad = False
        blocks = [*block(24, 64), *block(64, 256), *block(256, 256)]
        self.body = nn.Sequential(nn.GELU(), *blocks, nn.MaxPool2d(3), nn.Flatten())
        self.head = nn.Linear(256, 10, bias=False)
        self.head.weight.data /= self.head.weight.data.std()
        self.layers = nn.Sequential(self.first, self.body, self.head)
        self.layers.to(memory_format=torch.channels_last)

    def fit(self, X: torch.Tensor, y: torch.Tensor, epochs: int) -> float:
        """Train on images of 0 to 255; return the seconds, without those of the preparation."""
        X = self._scaled(X)
        self.first.weight.data = whitening(X)
        self._start(epochs * (len(X) // self.batch_size))
        flipped = torch.where((torch.rand(len(X)) < 0.5).view(-1, 1, 1, 1), X.flip(-1), X)
        padded = functional.pad(flipped, (SHIFT,) * 4, "reflect")
        self.layers.train()
        start = time.perf_counter()
        for epoch in range(epochs):
            order = torch.randperm(len(X))
            for rows in order[: len(X) // self.batch_size * self.batch_size].split(
                self.batch_size
            ):
                self._step(self._moved(padded[rows], flip=epoch % 2 == 1), y[rows], epochs)
        return time.perf_counter() - start

    @torch.no_grad()
    def score(self, X: torch.Tensor, y: torch.Tensor, *, averaged: bool) -> float:
        """Return the accuracy of single images, or with flips and shifts averaged."""
        self.layers.eval()
        correct = 0
        for images, labels in zip(self._scaled(X).split(1000), y.split(1000), strict=True):
            with torch.autocast("cpu", torch.bfloat16):
                outputs = self._averaged(images) if averaged else self.layers(images)
            correct += int((outputs.argmax(1) == labels).sum())
        return correct / len(X)

    def _averaged(self, images: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(images, (1,) * 4, "reflect")
        views = [images, padded[..., :-2, :-2], padded[..., 2:, 2:]]
        return sum(
            share * (self.layers(view).float() + self.layers(view.flip(-1)).float())
            for share, view in zip((0.5, 0.25, 0.25), views, strict=True)
        )

    def _scaled(self, X: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        return ((X / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    def _start(self, n_steps: int) -> None:
        decay = 2e-6 * self.batch_size
        biases = [
            each for each in self.body.parameters() if each.dim() == 1 and each.requires_grad
        ]
        groups = [([self.first.bias], BIAS_RATE), (biases, BIAS_RATE)]
        groups.append(([self.head.weight], HEAD_RATE))
        self.sgd = torch.optim.SGD(
            [{"params": part, "lr": rate, "weight_decay": decay / rate} for part, rate in groups],
            momentum=0.85,
            nesterov=True,
        )
        self.rates = [rate for _, rate in groups]
        self.muon = Muon([each for each in self.body.parameters() if each.dim() == 4])
        self.done, self.n_steps = 0, n_steps

    def _moved(self, padded: torch.Tensor, *, flip: bool) -> torch.Tensor:
        shifts = torch.randint(0, 2 * SHIFT + 1, (len(padded), 2))
        side = torch.arange(padded.shape[-1] - 2 * SHIFT)
        rows, columns = (shifts[:, axis, None] + side for axis in range(2))
        images = padded.permute(0, 2, 3, 1)
        samples = torch.arange(len(padded))[:, None, None]
        images = images[samples, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        images = images.flip(-1) if flip else images
        return images.contiguous(memory_format=torch.channels_last)

    def _step(self, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
        bias_steps = BIAS_EPOCHS * self.n_steps // epochs
        left = 1 - self.done / self.n_steps
        self.first.bias.requires_grad = self.done < bias_steps
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.layers(images)
        loss = functional.cross_entropy(
            outputs.float() / 256, labels, label_smoothing=0.2, reduction="sum"
        )
        loss.backward()
        shares = [max(0, 1 - self.done / bias_steps), left, left]
        for group, rate, share in zip(self.sgd.param_groups, self.rates, shares, strict=True):
            group["lr"] = rate * share
        self.sgd.step()
        self.muon.step(MUON_RATE * left)
        self.layers.zero_grad(set_to_none=True)
        self.done += 1
