"""`python -m benchmarks.showcase`: the README's picture, made by the committed model from test digits.

Each row is one scene: as posted, with the predicted box (orange) and the true one (green), the attention map,
and the glimpse that the classifier reads.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

from benchmarks.results import FOLDER
from models.contract import MODEL_PATH, OUTPUTS, load_contract
from scenes.digits import Digits
from scenes.draw import draw
from scenes.mnist import load_digits
from scenes.presets import find_preset
from scenes.truth import ink_boxes
from trainer.evaluate import make_pictures

SIDE = 200
GAP = 8
BOX_COLOUR, TRUTH_COLOUR = (255, 150, 40), (70, 210, 110)


class Scene(NamedTuple):
    """One column of the picture: what to draw."""

    preset: str
    seed: int


SCENES = (
    Scene("article", 7),
    Scene("article", 12),
    Scene("cluttered-100", 3),
    Scene("wide", 5),
)


def main() -> None:
    """Draw the picture and save it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.showcase", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_PATH)
    parser.add_argument("--out", type=Path, default=FOLDER / "showcase.png")
    options = parser.parse_args()
    load_contract(options.model)
    session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
    digits = load_digits("test")
    columns = [draw_column(session, scene, digits) for scene in SCENES]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(columns, axis=1)).save(options.out, optimize=True)
    print(f"wrote {options.out}")


def draw_column(session: onnxruntime.InferenceSession, scene: Scene, digits: Digits) -> npt.NDArray[np.uint8]:
    """One scene's pictures from top to bottom: uint8 `[height, width, 3]`."""
    parameters = draw(find_preset(scene.preset), np.array([scene.seed]), digits)
    picture = make_pictures(parameters, digits)
    names = [tensor.name for tensor in OUTPUTS]
    answer = dict(zip(names, session.run(names, {"scene": picture}), strict=True))
    pixels = picture[0, 0]
    label = int(answer["probabilities"][0].argmax())
    confidence = float(answer["probabilities"][0].max())

    framed = _grey(pixels)
    pen = ImageDraw.Draw(framed)
    for box, colour in ((ink_boxes(parameters, digits)[0], TRUTH_COLOUR), (answer["box"][0], BOX_COLOUR)):
        x, y, width, height = (float(v) * SIDE / pixels.shape[1] for v in box)
        pen.rectangle((x, y, x + width, y + height), outline=colour, width=2)
    parts = [framed, _heat(pixels, answer["attention_map"][0]), _grey(answer["glimpse"][0] * 255)]
    column = Image.new("RGB", (SIDE + 2 * GAP, len(parts) * (SIDE + GAP) + 30), "white")
    for i, part in enumerate(parts):
        column.paste(part, (GAP, GAP + i * (SIDE + GAP)))
    text = f"says {label}, {confidence:.1%} sure"
    ImageDraw.Draw(column).text(
        (GAP, column.height - 24), text, fill="black", font=ImageFont.load_default(size=16)
    )
    return np.asarray(column)


def _grey(pixels: npt.NDArray[np.generic]) -> Image.Image:
    grey = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return grey.resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("RGB")


def _heat(pixels: npt.NDArray[np.uint8], attention: npt.NDArray[np.float32]) -> Image.Image:
    """The scene in grey, the attention laid over it in orange."""
    weight = attention[:, :, None] * 0.75
    blend = (1 - weight) * pixels[:, :, None] * 0.8 + weight * np.array(BOX_COLOUR)
    return Image.fromarray(np.rint(blend).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
