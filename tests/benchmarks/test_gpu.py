"""The command for a GPU runs through without one, as a trial; its result file is for a GPU's alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import results
from benchmarks.rates import gpu, gpu_answers
from models.contract import load_contract
from scenes.presets import PRESETS
from tests.trainer.tiny import bar_digits


@pytest.mark.slow
def test_a_trial_measures_everything_and_writes_nothing(
    bars: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(gpu, "load_digits", bar_digits)
    monkeypatch.setattr(gpu_answers, "BATCHES", (1, 8))
    monkeypatch.setattr("trainer.export.PARITY_SCENES", 20)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.main(["--trial", "--steps", "4", "--run", str(tmp_path / "run")])
    told = capsys.readouterr().out.replace("}\n{", "}\n\0{").split("\0")
    found = {name: part for text in told for name, part in json.loads(text).items()}
    assert list(found) == ["provider", "training", "test", "serving"]
    assert found["provider"]["model_sha256"] == load_contract().sha256
    for precision in ("tf32", "float32"):  # the CPU provider against itself
        assert set(found["provider"][precision].values()) == {0.0}
    assert found["training"]["steps"] == 4
    assert found["training"]["seconds_from_nothing"] > 0
    assert set(found["test"]) == set(PRESETS)
    assert [(row["way"], row["batch"]) for row in found["serving"]] == [
        (way, batch) for batch in (1, 8) for way in ("onnxruntime", "torch")
    ]
    assert (tmp_path / "run" / "checkpoint.pt").is_file()
    assert not (tmp_path / "results").exists()


def test_it_asks_for_a_gpu_and_for_a_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="expected a CUDA GPU that torch can use, but there is none"):
        gpu.main([])
    with pytest.raises(SystemExit):
        gpu.main(["--steps", "4"])
    assert "--steps: expected with --trial alone" in capsys.readouterr().err
    with pytest.raises(ValueError, match="--run: expected a folder that is not there yet"):
        gpu.main(["--trial", "--run", str(tmp_path)])
