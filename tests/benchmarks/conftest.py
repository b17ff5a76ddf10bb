from __future__ import annotations

import pytest

from tests.trainer.tiny import one_thread, train_on_bars

__all__ = ["one_thread"]  # a fixture of every test here


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and measuring on bar digits, and with little of them, so that no data set is needed."""
    train_on_bars(monkeypatch)
