"""What a run writes while it trains: metrics as JSON lines, TensorBoard scalars and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch.utils.tensorboard import SummaryWriter

from trainer.attention import reported_boxes
from trainer.data.batches import LabelledBatch
from trainer.model import GlimpseModel

METRICS_NAME = "metrics.jsonl"
ATTENTION_NAME = "looks.jsonl"
_ENLARGED = 2
_BOX_COLOUR = (255, 150, 40)


class Monitor:
    """Writes a run's metrics. A resumed run drops the lines after `step`, which a killed run left."""

    def __init__(self, run: Path, step: int) -> None:
        self._lines = _open_up_to(step, run / METRICS_NAME)
        self._looks = _open_up_to(step, run / ATTENTION_NAME)
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._looks.close()
        self._board.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write one line and the same as TensorBoard scalars."""
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        self._lines.write(json.dumps({"step": step, **rounded}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def watch(self, step: int, model: GlimpseModel, scenes: torch.Tensor) -> None:
        """Write the attention in a few scenes: centre x, centre y, σ_x, σ_y of each, in scene px."""
        with torch.inference_mode():
            attention = torch.stack(list(model(scenes).gaussian), dim=1)
        rounded = [[round(value, 3) for value in row] for row in attention.tolist()]
        self._looks.write(json.dumps({"step": step, "attention": rounded}) + "\n")
        self._looks.flush()

    def pictures(self, step: int, model: GlimpseModel, batch: LabelledBatch) -> None:
        """Show what the model sees in the first scenes of a batch."""
        self._board.add_image("scenes", picture_of(model, batch.scenes[:8]), step, dataformats="HWC")


def picture_of(model: GlimpseModel, scenes: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Scenes with the predicted box above the glimpses, side by side: uint8 `[height, width, 3]`."""
    with torch.inference_mode():
        output = model(scenes)
    found = reported_boxes(output.gaussian, model.task.box_edge_per_side).cpu().numpy()
    columns = []
    for scene, glimpse, (x, y, width, height) in zip(
        scenes.cpu().numpy(), output.glimpse.cpu().numpy(), found * _ENLARGED, strict=True
    ):
        side = scene.shape[-1] * _ENLARGED
        column = Image.new("RGB", (side + 4, 2 * side + 8))
        column.paste(_enlarge(scene, side), (2, 2))
        column.paste(_enlarge(glimpse, side), (2, side + 6))
        ImageDraw.Draw(column).rectangle((x + 2, y + 2, x + width + 2, y + height + 2), outline=_BOX_COLOUR)
        columns.append(np.asarray(column))
    return np.concatenate(columns, axis=1)


def _enlarge(picture: npt.NDArray[np.float32], side: int) -> Image.Image:
    """A picture `[channels, h, w]` of that side."""
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    shown = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, 2)
    return Image.fromarray(shown).resize((side, side), Image.Resampling.NEAREST)


def _open_up_to(step: int, path: Path) -> TextIO:
    """Open a file of JSON lines to append to, without its lines after `step`."""
    kept = []
    if path.is_file():
        kept = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
    path.write_text("".join(f"{line}\n" for line in kept))
    return path.open("a", encoding="utf-8")


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError):
        return 2**62  # a line cut off by a kill
