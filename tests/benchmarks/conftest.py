from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.trainer.tiny import bar_digits


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order, and nothing of a training run left behind in the process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and measuring on bar digits, and with little of them, so that no data set is needed."""
    for name in ("trainer.train.load_digits", "benchmarks.budget.load_digits"):
        monkeypatch.setattr(name, bar_digits)
    monkeypatch.setattr("trainer.validation._SCENES", 125)
    monkeypatch.setattr("trainer.calibrate._SCENES", 250)
