"""A whole run is timed where it was made in one go."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import timed_run
from trainer.checkpoint import save_checkpoint


@pytest.mark.parametrize("about", [{}, {"starts": 2}])
def test_a_run_that_was_resumed_is_refused(tmp_path: Path, about: dict[str, int]) -> None:
    save_checkpoint({"about": about}, tmp_path)
    with pytest.raises(SystemExit, match="error: expected a run that was made in one go"):
        timed_run.main([str(tmp_path)])
