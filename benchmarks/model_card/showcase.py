"""The README's pictures, made by the committed model from test digits.

In `showcase.png` each column is one scene: as posted, with the predicted box (orange) and the true one
(green), the attention map, and the glimpse that the classifier reads. `readme-scene.png` shows the scene that
README posts to the service, in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

from benchmarks.results import FOLDER, parser
from models.contract import MODEL_PATH, OUTPUTS, load_contract
from models.digits_contract import DIGITS_PATH
from scenes.digits import Digits
from scenes.draw import SceneParameters, draw
from scenes.mnist import load_digits
from scenes.presets import find_preset
from scenes.truth import ink_boxes
from service.synthesis.generator import OnnxGenerator
from service.synthesis.handwriting import GeneratedDigits, Written
from trainer.evaluation.evaluate import make_pictures

SIDE = 200
GAP = 8
TEXT_HEIGHT = 24
BOX_COLOUR, TRUTH_COLOUR = (255, 150, 40), (70, 210, 110)


class Scene(NamedTuple):
    """What one column of the picture shows."""

    preset: str
    seed: int


SCENES = (
    Scene("article", 7),
    Scene("cluttered-100", 3),
    Scene("paper", 13),
    Scene("paper", 20),
)


def main(arguments: Sequence[str]) -> None:
    """Draw the pictures and save them."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--model", type=Path, default=MODEL_PATH)
    options_of.add_argument("--out", type=Path, default=FOLDER, help="the folder for both pictures")
    options = options_of.parse_args(arguments)
    load_contract(options.model)
    session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
    digits = load_digits("test")
    options.out.mkdir(parents=True, exist_ok=True)
    columns = []
    for column in SCENES:
        parameters = draw(find_preset(column.preset), np.array([column.seed]), digits)
        pictures, says = draw_answer(session, parameters, digits)
        columns.append(_in_line(pictures, says, downwards=True))
    scene = readme_scene()
    row = _in_line(*draw_answer(session, scene.parameters, scene.digits), downwards=False)
    for name, picture in (("showcase.png", np.concatenate(columns, axis=1)), ("readme-scene.png", row)):
        Image.fromarray(picture).save(options.out / name, optimize=True)
        print(f"wrote {options.out / name}")


def readme_scene() -> Written:
    """What `/synthesize?digit=3&x=62&y=40&size=36&clutter=6&noise=0.15&seed=7` makes."""
    draw_from = partial(
        draw, find_preset("article"), np.array([7]), digit=3, x=62, y=40, size=36, clutter=6, noise=0.15
    )
    return GeneratedDigits(OnnxGenerator(DIGITS_PATH)).write(draw_from, style=None)


def draw_answer(
    session: onnxruntime.InferenceSession, parameters: SceneParameters, digits: Digits
) -> tuple[list[Image.Image], str]:
    """One scene's pictures (boxes, attention, glimpse) and what the model says of it."""
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
    pictures = [framed, _heat(pixels, answer["attention_map"][0]), _grey(answer["glimpse"][0] * 255)]
    return pictures, f"says {label}, {confidence:.1%} sure"


def _in_line(pictures: list[Image.Image], says: str, *, downwards: bool) -> npt.NDArray[np.uint8]:
    """Pictures in a column or a row, the words below: uint8 `[height, width, 3]`."""
    long, short = len(pictures) * (SIDE + GAP) + GAP, SIDE + 2 * GAP
    width, height = (short, long) if downwards else (long, short)
    canvas = Image.new("RGB", (width, height + TEXT_HEIGHT), "white")
    for i, picture in enumerate(pictures):
        along = GAP + i * (SIDE + GAP)
        canvas.paste(picture, (GAP, along) if downwards else (along, GAP))
    font = ImageFont.load_default(size=16)
    ImageDraw.Draw(canvas).text((GAP, height - 2), says, fill="black", font=font)
    return np.asarray(canvas)


def _grey(pixels: npt.NDArray[np.generic]) -> Image.Image:
    grey = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return grey.resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("RGB")


def _heat(pixels: npt.NDArray[np.uint8], attention: npt.NDArray[np.float32]) -> Image.Image:
    """The scene in grey, the attention laid over it in orange."""
    weight = attention[:, :, None] * 0.75
    blend = (1 - weight) * pixels[:, :, None] * 0.8 + weight * np.array(BOX_COLOUR)
    return Image.fromarray(np.rint(blend).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
