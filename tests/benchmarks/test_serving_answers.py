"""Other forms of the same answer are read alike, and an answer that differs is found out."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from benchmarks.serving.answers import AnswerError, Said, compare, read_list, read_object, read_tensors
from benchmarks.serving.contestants import CONTESTANTS
from benchmarks.serving.measure import best_variant
from benchmarks.serving.peers.onnx_model import OnnxModel, to_json, to_plain
from benchmarks.serving.pictures import make_pictures

ANSWER: dict[str, Any] = {
    "label": 3,
    "confidence": 0.9,
    "probabilities": [0.0, 0.0, 0.05, 0.9, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0],
    "digit_present": 0.99,
    "bbox": {"x": 1.5, "y": 2.5, "width": 20.0, "height": 30.0},
    "attention": {"x": 11.0, "y": 17.0, "sigma_x": 5.0, "sigma_y": 8.0},
    "attention_map": [[0.5] * 100] * 100,
    "glimpse": [[0.25] * 28] * 28,
}
TENSORS = [
    {"name": "label", "shape": [1, 1], "data": [3]},
    {"name": "box", "shape": [1, 4], "data": [1.5, 2.5, 20.0, 30.0]},
    {"name": "confidence", "shape": [1], "data": [0.9]},
    {"name": "probabilities", "shape": [1, 10], "data": ANSWER["probabilities"]},
    {"name": "digit_present", "shape": [1, 1], "data": [0.99]},
    {"name": "attention", "shape": [1, 4], "data": [11.0, 17.0, 5.0, 8.0]},
    {"name": "attention_map", "shape": [1, 100, 100], "data": [0.5] * 10000},
    {"name": "glimpse", "shape": [1, 28, 28], "data": [0.25] * 784},
]


def expected() -> Said:
    return read_object(json.dumps(ANSWER).encode())


def test_all_forms_are_read_alike() -> None:
    compare(read_list(json.dumps([ANSWER]).encode()), expected(), maps=True)
    compare(read_tensors(json.dumps({"outputs": TENSORS}).encode()), expected(), maps=True)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"label": 4}, "label"),
        ({"bbox": {"x": 1.5, "y": 2.5, "width": 20.0, "height": 30.06}}, "box"),
        ({"bbox": {"x": 1.5, "y": 2.5, "width": float("nan"), "height": 30.0}}, "box"),
        ({"probabilities": [1.0]}, "probabilities"),
        ({"attention_map": [[0.5] * 50] * 50}, "attention_map"),
        ({"glimpse": [[0.3] * 28] * 28}, "glimpse"),
    ],
)
def test_a_wrong_answer_is_found_out(change: dict[str, Any], word: str) -> None:
    with pytest.raises(AnswerError, match=word):
        compare(read_object(json.dumps(ANSWER | change).encode()), expected(), maps=True)


@pytest.mark.parametrize("maps", [False, True])
def test_maps_are_neither_missing_nor_superfluous(maps: bool) -> None:
    without = {key: value for key, value in ANSWER.items() if key not in ("attention_map", "glimpse")}
    wrong = without if maps else ANSWER
    with pytest.raises(AnswerError, match="maps"):
        compare(read_object(json.dumps(wrong).encode()), expected(), maps=maps)


def test_the_pictures_are_the_same_each_time_and_of_many_digits() -> None:
    pictures = make_pictures(6)
    assert pictures == make_pictures(6)
    assert len(set(pictures)) == 6
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_a_batch_of_a_peer_is_answered_in_its_order() -> None:
    pictures = make_pictures(6)
    model = OnnxModel(threads=1)
    together = model.answers(pictures, maps=True)
    for picture, answer in zip(pictures, together, strict=True):
        alone = model.answers([picture], maps=True)[0]
        compare(read_object(to_json(answer)), read_object(json.dumps(to_plain(alone)).encode()), maps=True)
    assert len({answer["label"] for answer in together}) > 1


def test_each_peer_is_posted_the_picture_itself() -> None:
    png = b"\x89PNG..."
    for contestant in CONTESTANTS:
        none, array = (contestant.post(png, maps) for maps in (False, True))
        assert none.path != array.path
        if contestant.name == "pytriton":
            header = int(none.headers["Inference-Header-Content-Length"])
            assert none.body[header:] == struct.pack("<I", len(png)) + png
            (tensor,) = json.loads(none.body[:header])["inputs"]
            assert tensor["parameters"]["binary_data_size"] == len(none.body) - header
        elif contestant.name not in ("bentoml", "mlserver"):  # those take base64
            assert none.body == png


def test_a_setting_that_fails_requests_is_passed_over() -> None:
    def found(rate: float, errors: int) -> dict[str, Any]:
        return {"none": _Load(rate, 1000, errors), "array": _Load(1.0, 1000, 0)}

    trials = {"fast but failing": found(900.0, 50), "good": found(500.0, 0), "slow": found(400.0, 0)}
    assert best_variant(trials) == "good"  # type: ignore[arg-type,comparison-overlap]
    assert best_variant({"only": found(1.0, 900)}) == "only"  # type: ignore[dict-item,comparison-overlap]


class _Load:
    def __init__(self, per_second: float, requests: int, errors: int) -> None:
        self.per_second, self.requests, self.errors = per_second, requests, errors
