from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer.tiny import TINY, one_thread, train_on_bars
from trainer.training.loop import train

__all__ = ["one_thread"]  # a fixture of every test here


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """`train` on bar digits, with a quick validation and calibration, so that it needs no data set."""
    train_on_bars(monkeypatch)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `TINY`, seed 0; tests read it and leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        train_on_bars(patch)
        # A wider fixture is made before the narrower one above: one thread here too.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        run = train(TINY, tmp_path_factory.mktemp("runs") / "tiny", device="cpu")
        torch.set_num_threads(threads)
    return run
