"""The comparison of runs by one process and by nodes, on runs that are written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.distributed import BATCH, STEPS, compare, differences, draw, same_weights, short_recipe
from trainer.checkpoint import save_checkpoint


def write_run(run: Path, losses: list[float], weight: float = 1.0) -> Path:
    run.mkdir(parents=True)
    lines = [{"step": step, "total": loss} for step, loss in enumerate(losses, 1)]
    lines.append({"step": len(losses), "validation_error/article": 0.25})
    # A line that is still being written is none yet.
    (run / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 99, "to'
    )
    state = {"w": torch.full((2,), weight)}
    save_checkpoint({"model": state, "averaged": state}, run)
    return run


def test_differences_are_of_single_steps_at_first_and_of_running_means(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", [4.0] * 40)
    other = write_run(tmp_path / "other", [4.0] * 4 + [4.1] + [4.0] * 34 + [4.4])
    assert differences(one, other) == {
        "of_one_step_in_the_first_10": pytest.approx(0.1),
        "of_the_mean_of_20": pytest.approx(0.02),
        "of_that_mean_at_the_end": pytest.approx(0.02),
    }
    assert set(differences(one, one).values()) == {0.0}


def test_weights_are_the_same_or_not() -> None:
    state = {"model": {"w": torch.ones(2)}, "averaged": {"w": torch.zeros(2)}}
    other = {"model": {"w": torch.ones(2)}, "averaged": {"w": torch.tensor([0.0, 1e-30])}}
    assert same_weights(state, state)
    assert not same_weights(state, other)


def test_what_was_killed_is_held_against_what_was_not(tmp_path: Path) -> None:
    curve = list(np.linspace(4, 2, 40))
    for name in ("alone", "rounding", "nodes"):
        write_run(tmp_path / name, curve)
    write_run(tmp_path / "killed", [*curve[:-1], 2.5], weight=2.0)
    died = {"worker": {"at_step": 12, "went_on_from_step": 10}}
    found = compare(tmp_path, short_recipe(40), {"nodes": 1.26}, died)
    assert found["killed"] == {
        **died,
        "same_weights_as_unharmed": False,
        "same_losses_as_unharmed": False,
    }
    assert found["validation_error"]["killed"] == {"article": 0.25}
    assert found["seconds"] == {"nodes": 1.3}
    draw(tmp_path, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size == (770, 550)


def test_the_recipe_has_checkpoints_before_each_kill_and_a_batch_that_nodes_can_share() -> None:
    recipe = short_recipe(STEPS)
    assert (recipe.steps, recipe.batch_size, recipe.log_every) == (STEPS, BATCH, 1)
    assert recipe.checkpoint_every < 0.4 * STEPS < 2 * recipe.checkpoint_every < 0.8 * STEPS
