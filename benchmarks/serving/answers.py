"""What the servers say, each in its own form, brought to one; and whether they all say the same."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.contract import CLASSES, SCENE_SIDE_PX

BOX_TOLERANCE_PX = 0.05
MAP_TOLERANCE = 1e-3
GLIMPSE_SIDE = 28
_MAP_SHAPES = {"attention_map": (SCENE_SIDE_PX, SCENE_SIDE_PX), "glimpse": (GLIMPSE_SIDE, GLIMPSE_SIDE)}
_NUMBERS = {"confidence": 1, "probabilities": len(CLASSES), "digit_present": 1, "attention": 4}


class AnswerError(ValueError):
    """An answer is not what was asked for; the message says in what."""


class Said(NamedTuple):
    """One answer, whatever server gave it."""

    label: int
    box: npt.NDArray[np.float64]  # [4]: x, y, width, height, px
    numbers: dict[str, npt.NDArray[np.float64]]  # flat
    maps: dict[str, npt.NDArray[np.float64]]


def read_object(body: bytes) -> Said:
    """An answer of this service's form."""
    return _from_object(json.loads(body))


def read_list(body: bytes) -> Said:
    """A list of one answer of this service's form."""
    (answer,) = json.loads(body)
    return _from_object(answer)


def read_tensors(body: bytes) -> Said:
    """An answer of the Open Inference Protocol, named tensors."""
    tensors = {
        output["name"]: np.asarray(output["data"], np.float64).reshape(output["shape"])
        for output in json.loads(body)["outputs"]
    }
    return Said(
        int(tensors["label"].item()),
        tensors["box"].ravel(),
        {name: tensors[name].ravel() for name in _NUMBERS},
        {name: tensors[name][0] for name in _MAP_SHAPES if name in tensors},
    )


def _from_object(answer: dict[str, Any]) -> Said:
    plain = {**answer, "attention": list(answer["attention"].values())}
    return Said(
        answer["label"],
        np.array([answer["bbox"][key] for key in ("x", "y", "width", "height")], np.float64),
        {name: np.asarray(plain[name], np.float64).ravel() for name in _NUMBERS},
        {name: np.asarray(answer[name], np.float64) for name in _MAP_SHAPES if name in answer},
    )


def compare(said: Said, expected: Said, *, maps: bool) -> None:
    """Hold an answer to this service's answer to the same picture.

    Raises:
        AnswerError: label, box, or a map differ, or something is missing or superfluous.
    """
    if said.label != expected.label:
        raise AnswerError(f"label: expected {expected.label}, got {said.label}")
    off = np.abs(said.box - expected.box).max()
    if not off <= BOX_TOLERANCE_PX:
        raise AnswerError(f"box: expected {expected.box.tolist()} px, got {said.box.tolist()}")
    for name, size in _NUMBERS.items():
        if said.numbers[name].size != size:
            raise AnswerError(f"{name}: expected {size} numbers, got {said.numbers[name].size}")
    wanted = _MAP_SHAPES if maps else {}
    if said.maps.keys() != wanted.keys():
        raise AnswerError(f"maps: expected {sorted(wanted)}, got {sorted(said.maps)}")
    for name, shape in wanted.items():
        if said.maps[name].shape != shape:
            raise AnswerError(f"{name}: expected shape {shape}, got {said.maps[name].shape}")
        if not np.abs(said.maps[name] - expected.maps[name]).max() <= MAP_TOLERANCE:
            raise AnswerError(f"{name}: its values differ by more than {MAP_TOLERANCE}")
