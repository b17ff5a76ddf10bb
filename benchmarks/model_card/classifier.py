"""A small digit classifier that knows nothing of the generator: its judge, and CAS's student.

Trained on real digits it names generated ones and gives the features in which precision and recall are
measured; trained on generated digits alone it is tested on real ones (Ravuri & Vinyals 2019, "Classification
Accuracy Score for Conditional Generative Models").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from scenes.digits import CLASS_COUNT

FEATURES = 128
EPOCHS = 8
BATCH = 128
LEARNING_RATE = 3e-3
_CHUNK = 500

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


class DigitClassifier(nn.Module):
    """Four convolutions and a hidden layer, whose activations are the features."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_convolution(1, 16, kernel=5),
            nn.MaxPool2d(2),  # [n, 16, 14, 14]
            *_convolution(16, 32, kernel=3),
            *_convolution(32, 48, kernel=3),
            nn.MaxPool2d(2),  # [n, 48, 7, 7]
            *_convolution(48, 64, kernel=3),
            nn.MaxPool2d(2, ceil_mode=True),  # [n, 64, 4, 4]
            nn.Flatten(),
            nn.Dropout(0.25),
        )
        self.hidden = nn.Linear(64 * 4 * 4, FEATURES)
        self.classes = nn.Linear(FEATURES, CLASS_COUNT)

    def features(self, pictures: Tensor) -> Tensor:
        """Features `[n, 128]` of intensities in [0, 1], `[n, 1, 28, 28]`."""
        return F.relu(self.hidden(self.convolutions(pictures)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[n, 10]`."""
        logits: Tensor = self.classes(self.features(pictures))
        return logits


def _convolution(inputs: int, outputs: int, *, kernel: int) -> tuple[nn.Module, ...]:
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def train_classifier(
    images: Images, labels: Labels, *, seed: int, epochs: int = EPOCHS, title: str = "classifier"
) -> DigitClassifier:
    """Train on uint8 digits `[m, 28, 28]` that are turned, scaled and shifted a little at every look."""
    torch.manual_seed(seed)
    model = DigitClassifier()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.02, betas=(0.9, 0.99))
    pictures, targets = torch.from_numpy(images), torch.from_numpy(labels)
    steps = epochs * (len(images) // BATCH)
    model.train()
    order = torch.randperm(len(images))
    for step in tqdm(range(steps), desc=title, unit="step", leave=False):
        start = step % (len(images) // BATCH) * BATCH
        if start == 0:
            order = torch.randperm(len(images))
        chosen = order[start : start + BATCH]
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * _schedule(step / steps)
        loss = F.cross_entropy(model(_vary(_intensities(pictures[chosen]))), targets[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    model.eval()
    return model


def name_digits(model: DigitClassifier, images: Images) -> Labels:
    """The class of each digit: int64 `[n]`."""
    named: Labels = _through(model, images).argmax(axis=1)
    return named


def digit_features(model: DigitClassifier, images: Images) -> npt.NDArray[np.float32]:
    """The features of each digit: float32 `[n, 128]`."""
    return _through(model.features, images)


def cached_classifier(images: Images, labels: Labels, *, seed: int, path: Path) -> DigitClassifier:
    """The classifier whose weights lie at `path`; trained, and put there, where there are none."""
    if path.is_file():
        model = DigitClassifier()
        model.load_state_dict(torch.load(path, weights_only=True))
        model.eval()
        return model
    model = train_classifier(images, labels, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return model


@torch.inference_mode()
def _through(function: Callable[[Tensor], Tensor], images: Images) -> npt.NDArray[np.float32]:
    chunks = torch.split(torch.from_numpy(images), _CHUNK)
    return torch.cat([function(_intensities(chunk)) for chunk in chunks]).numpy()


def _schedule(done: float) -> float:
    """Linear warm-up over a tenth, then half a cosine down to nothing."""
    return min(1.0, done / 0.1) * 0.5 * (1 + math.cos(math.pi * done))


def _intensities(pictures: Tensor) -> Tensor:
    return pictures[:, None].float() / 255


def _vary(pictures: Tensor) -> Tensor:
    """Turn by up to 12°, scale by up to 12 % along either axis, shear and shift by up to 2 px."""
    n = len(pictures)

    def spread(most: float) -> Tensor:
        return (2 * torch.rand(n) - 1) * most

    angle, shear = spread(math.radians(12)), spread(0.1)
    across, down = torch.exp(spread(0.12)), torch.exp(spread(0.12))
    shift = 2 / 14
    rows = [
        [across * torch.cos(angle), -down * torch.sin(angle) + shear, spread(shift)],
        [across * torch.sin(angle), down * torch.cos(angle), spread(shift)],
    ]
    theta = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    grid = F.affine_grid(theta, [n, 1, 28, 28], align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False)
