"""Pictures that people bring, beside a threshold and a classifier.

The folder holds pictures and a `labels.csv` with the columns `file`, `label` (0 to 9; empty where the picture
shows no digit) and, for the pictures whose box is known, `x`, `y`, `width`, `height` in px of the upright
picture; a column `kind` groups them. Pictures are read as the service reads them. The baseline is Otsu's
threshold (1979), the largest connected part of the rarer side and a classifier that was trained on MNIST.
Pictures are never written.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from tqdm import tqdm

from benchmarks.documents import FRONT_PAGE, table
from benchmarks.model_card.otsu import OtsuBaseline
from benchmarks.results import parser, publish
from models.contract import MODEL_PATH, load_contract
from models.pictures.letterbox import Box
from service.inference.jobs import PictureJob
from service.inference.predictor import OnnxPredictor
from service.inference.work import Work
from service.pictures.decode import decode_picture
from service.settings import Settings
from trainer.evaluation.metrics import intersection_over_union

LABELS_NAME = "labels.csv"
_COLUMNS = ("file", "label")
_BOX = ("x", "y", "width", "height")
PRESENT = 0.5


class Labelled(NamedTuple):
    """A picture and what it truly shows; the box is for evaluation alone."""

    path: Path
    kind: str
    label: int | None  # none: no digit
    box: Box | None  # px of the upright picture


class Said(NamedTuple):
    """What was said of a picture; a threshold does not say whether there is a digit at all."""

    label: int
    box: Box
    digit_present: float | None
    confidence: float | None


def read_labels(folder: Path) -> list[Labelled]:
    """The pictures that a folder's `labels.csv` names.

    Raises:
        ValueError: there is no such file, a column is missing, or a row is not as expected.
    """
    path = folder / LABELS_NAME
    if not path.is_file():
        raise ValueError(f"{folder}: expected a folder with pictures and a {LABELS_NAME}, found none")
    with path.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: expected the columns {', '.join(_COLUMNS)}, {missing[0]} is missing")
        found = [_labelled(folder, row, f"{path}, line {rows.line_num}") for row in rows]
    if not found:
        raise ValueError(f"{path}: expected a line for each picture, found none")
    return found


def _labelled(folder: Path, row: dict[str, str], where: str) -> Labelled:
    picture = folder / row["file"]
    if not picture.is_file():
        raise ValueError(f"{where}: expected a picture at {picture}, found none")
    if row["label"] not in ("", *map(str, range(10))):
        raise ValueError(f"{where}: label: expected 0 to 9 or nothing, got {row['label']!r}")
    sides = [row.get(name) or "" for name in _BOX]
    try:
        box = Box(*map(float, sides)) if all(sides) else None
    except ValueError:
        raise ValueError(f"{where}: {', '.join(_BOX)}: expected numbers of px, got {sides}") from None
    return Labelled(picture, row.get("kind") or "all", int(row["label"]) if row["label"] else None, box)


class Service:
    """Pictures answered as the service answers them, by its own code in this process."""

    def __init__(self, model: Path) -> None:
        self._work = Work(OnnxPredictor(model, "cpu", threads=1, batches=(1,)))
        self._max_pixels = Settings().max_pixels

    def answer(self, data: bytes) -> Said:
        """What `/predict` says of a picture; ImageError where it cannot be read."""
        job = PictureJob(data, "none", self._max_pixels, exclusive=True)
        (result,) = self._work([job]).results
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, bytes)
        answer = orjson.loads(result)
        return Said(answer["label"], Box(**answer["bbox"]), answer["digit_present"], answer["confidence"])


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    (found,) = intersection_over_union(np.array([one], np.float32), np.array([other], np.float32))
    return float(found)


def figures_of(pictures: Sequence[Labelled], said: Sequence[Said]) -> dict[str, float]:
    """The figures of some pictures; those that need a digit, or a box, are of the pictures that have one."""
    pairs = list(zip(pictures, said, strict=True))
    figures: dict[str, float] = {"pictures": len(pairs)}
    digits = [(picture, one) for picture, one in pairs if picture.label is not None]
    if digits:
        figures["labels_right"] = sum(picture.label == one.label for picture, one in digits)
        figures["digits"] = len(digits)
    overlaps = [iou(picture.box, one.box) for picture, one in pairs if picture.box is not None]
    if overlaps:
        figures["mean_iou"] = round(float(np.mean(overlaps)), 4)
        figures["corloc"] = round(float(np.mean([overlap >= 0.5 for overlap in overlaps])), 4)
    if any(one.digit_present is None for _, one in pairs):
        return figures
    if digits:
        figures["seen"] = sum((one.digit_present or 0) >= PRESENT for _, one in digits)
        figures["mean_confidence"] = round(float(np.mean([one.confidence or 0 for _, one in digits])), 4)
    absent = [one for picture, one in pairs if picture.label is None]
    if absent:
        figures["absent"] = len(absent)
        figures["absent_told"] = sum((one.digit_present or 0) < PRESENT for one in absent)
    return figures


def by_kind(pictures: Sequence[Labelled], said: Sequence[Said]) -> dict[str, dict[str, float]]:
    """The figures of each kind of pictures, and of all."""
    kinds = list(dict.fromkeys(picture.kind for picture in pictures))
    table = {}
    for kind in kinds if len(kinds) > 1 else []:
        chosen = [number for number, picture in enumerate(pictures) if picture.kind == kind]
        table[kind] = figures_of([pictures[i] for i in chosen], [said[i] for i in chosen])
    return table | {"all": figures_of(pictures, said)}


def markdown_table(ours: dict[str, dict[str, float]], baseline: dict[str, dict[str, float]]) -> str:
    """Both methods' figures, a row for each kind of pictures."""
    rows = []
    for kind, figures in ours.items():
        seen = _count(figures, "seen")
        if "absent" in figures:
            called = figures["absent"] - figures["absent_told"]
            seen += f"; of {figures['absent']:.0f} without one {called:.0f}"
        both = [(_count(f, "labels_right"), _overlap(f)) for f in (figures, baseline[kind])]
        rows.append((kind, _count(figures, "pictures"), *both[0], seen, *both[1]))
    columns = ("pictures", "of them", "labels right", "mean IoU", "called a digit", "Otsu: labels right")
    return table((*columns, "mean IoU"), rows)


def _count(figures: dict[str, float], name: str) -> str:
    return f"{figures[name]:.0f}" if name in figures else "–"


def _overlap(figures: dict[str, float]) -> str:
    return f"{figures['mean_iou']:.3f}" if "mean_iou" in figures else "–"


def main(arguments: Sequence[str]) -> None:
    """Answer every picture by both methods, print a Markdown table, write the result file."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("folder", type=Path)
    options_of.add_argument("--model", type=Path, default=MODEL_PATH)
    options_of.add_argument(
        "--out", type=Path, help="the result file (default: benchmarks/results/photos.json)"
    )
    options_of.add_argument("--answers", type=Path, help="a CSV file for what was said of each picture")
    options = options_of.parse_args(arguments)
    pictures = read_labels(options.folder)
    service, threshold = Service(options.model), OtsuBaseline.trained()
    ours, theirs = [], []
    for picture in tqdm(pictures, unit="picture", leave=False):
        data = picture.path.read_bytes()
        ours.append(service.answer(data))
        decoded = decode_picture(data, Settings().max_pixels)
        label, box = threshold.answer(decoded.grey)
        across, down = decoded.width_px / decoded.grey.shape[1], decoded.height_px / decoded.grey.shape[0]
        in_posted = Box(box.x * across, box.y * down, box.width * across, box.height * down)
        theirs.append(Said(label, in_posted, None, None))
    found = {"glimpse": by_kind(pictures, ours), "otsu": by_kind(pictures, theirs)}
    if options.answers:
        _write_answers(options.answers, pictures, ours)
    publish(
        "photos",
        {"model_sha256": load_contract(options.model).sha256, **found},
        markdown_table(found["glimpse"], found["otsu"]),
        pages=(FRONT_PAGE,),
        command="python -m benchmarks photos FOLDER",
        out=options.out,
    )


def _write_answers(path: Path, pictures: Sequence[Labelled], said: Sequence[Said]) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        rows = csv.writer(lines)
        rows.writerow(["file", "kind", "true label", *Said._fields[:1], *_BOX, *Said._fields[2:], "iou"])
        for picture, one in zip(pictures, said, strict=True):
            overlap = "" if picture.box is None else round(iou(picture.box, one.box), 3)
            true = "" if picture.label is None else picture.label
            answer = (one.label, *one.box, one.digit_present, one.confidence)
            rows.writerow([picture.path.name, picture.kind, true, *answer, overlap])
