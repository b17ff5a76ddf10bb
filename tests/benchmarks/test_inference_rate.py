"""What a rate amounts to; the rate itself is the machine's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.rates import inference_rate
from models.contract import MODEL_PATH
from trainer.evaluation.evaluate import Answer, load_predict


def test_a_rate_in_operations_is_worked_out_by_hand() -> None:
    row = inference_rate.rate_row(2000.0, mflops=80.0)
    assert row == {"scenes_per_second": 2000, "ms_per_scene": 0.5, "gflops": 160.0}


def test_every_scene_of_a_batch_is_counted_and_the_first_call_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(np.arange(100.0))
    calls = []

    def predict(pictures: npt.NDArray[np.uint8]) -> Answer:
        calls.append(len(pictures))
        return Answer(*(np.zeros(0, np.float32) for _ in Answer._fields))

    monkeypatch.setattr(inference_rate, "SECONDS", 3)
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    # One call outside of the measurement; begun at 0, asked at 1 and 2, past 3 at the third question.
    assert inference_rate.scenes_per_second(predict, np.zeros((5, 1, 100, 100), np.uint8)) == 2 * 5 / 4
    assert calls == [5, 5, 5]


def test_the_committed_model_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_rate, "SECONDS", 0.01)
    pictures = np.zeros((2, 1, 100, 100), np.uint8)
    assert inference_rate.scenes_per_second(load_predict(MODEL_PATH, threads=1), pictures) > 1
