"""A sheet of example scenes with their true boxes, to look at a distribution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from scenes.digits import Digits
from scenes.draw import draw
from scenes.presets import Preset
from scenes.render import render
from scenes.truth import ink_boxes

_ENLARGED = 2
_GAP_PX = 6
_TRUTH_COLOUR = (80, 220, 120)


def draw_sheet(preset: Preset, digits: Digits, *, rows: int, columns: int, seed: int) -> Image.Image:
    """Scenes of a preset in a grid, each twice its size, the true box of the ink drawn around it."""
    seeds = seed + np.arange(rows * columns)
    parameters = draw(preset, seeds, digits)
    pictures = np.rint(render(parameters, digits) * 255).astype(np.uint8)
    boxes = ink_boxes(parameters, digits)
    cell = preset.side_px * _ENLARGED + _GAP_PX
    sheet = Image.new("RGB", (columns * cell + _GAP_PX, rows * cell + _GAP_PX), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (picture, box) in enumerate(zip(pictures, boxes, strict=True)):
        left, top = _GAP_PX + i % columns * cell, _GAP_PX + i // columns * cell
        sheet.paste(
            Image.fromarray(picture).resize((cell - _GAP_PX,) * 2, Image.Resampling.NEAREST), (left, top)
        )
        x, y, width, height = (float(v) * _ENLARGED for v in box)
        pen.rectangle((left + x - 1, top + y - 1, left + x + width, top + y + height), outline=_TRUTH_COLOUR)
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write the picture, making the folder that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
