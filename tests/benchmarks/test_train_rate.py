"""The floor's arithmetic; rates themselves are the machine's."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from benchmarks import results
from benchmarks.rates import train_rate
from scenes.digits import Digits
from tests.trainer.tiny import bar_digits
from trainer.errors import CompilerMissingError
from trainer.export import count_mflops
from trainer.model import GlimpseModel
from trainer.training.step import Trainer


def test_the_floor_is_three_passes_at_the_better_of_the_two_peaks_of_each_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0

    class Five:
        """Its steps take a fifth of a second each, as the test's clock has it."""

        def advance(self) -> None:
            nonlocal now
            now += 0.2

    def warmed_up(kind: train_rate.Kind, digits: object) -> Five:
        if kind.how == "compiled":
            raise CompilerMissingError("there is none")
        return Five()

    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(train_rate, "load_digits", bar_digits)
    monkeypatch.setattr(train_rate, "warmed_up", warmed_up)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(
        train_rate,
        "measure_peak",
        lambda dtype: train_rate.Peak(100.0, 200.0 if dtype == torch.float32 else 400.0),
    )
    train_rate.main(["--threads", "1"])
    assert "compiled: not measured: there is none" in capsys.readouterr().out
    figures = json.loads((tmp_path / "train_rate.json").read_text())["figures"]
    per_step = 3 * 64 * count_mflops(GlimpseModel()) / 1e3
    assert figures["gflop_per_step"] == pytest.approx(per_step, abs=0.01)
    kept = figures["of_which_always_float32"]
    assert 0.4 * per_step < kept < 0.6 * per_step, "half of the work is the attention network's"
    for precision, peak in (("float32", 200), ("bfloat16", 400)):
        row = figures["1 threads"][precision]
        seconds = kept / 200 + (per_step - kept) / peak
        assert row["floor_steps_per_second"] == pytest.approx(1 / seconds, abs=0.01)
        assert row["eager_share_of_floor"] == pytest.approx(5 * seconds, abs=1e-3)
        assert "compiled_steps_per_second" not in row


@pytest.mark.slow
def test_peaks_and_steps_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_rate, "STEPS", 1)
    monkeypatch.setattr(train_rate, "ROUNDS", 1)
    monkeypatch.setattr(train_rate, "WARM_UP", 1)
    assert min(train_rate.measure_peak()) > 0.1
    assert min(train_rate.measure_peak(torch.bfloat16)) > 0.1
    warmed_up = train_rate.warmed_up

    def without_compiler(kind: train_rate.Kind, digits: Digits) -> Trainer:
        if kind.how == "compiled":
            raise CompilerMissingError("there is none")
        return warmed_up(kind, digits)

    monkeypatch.setattr(train_rate, "warmed_up", without_compiler)
    rates = train_rate.steps_per_second(bar_digits())
    assert [(kind.precision, kind.how) for kind in rates] == [("float32", "eager"), ("bfloat16", "eager")]
    assert min(rates.values()) > 0
