"""Moments of a run: dense at the start, always of the same scenes, and all that a page needs to show them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from scenes.digits import Digits
from tests.trainer.tiny import ALONE, bar_digits
from trainer.model import GlimpseModel
from trainer.training.snapshots import FOLDER_NAME, SNAPSHOTS, save_snapshot, snapshot_scenes, snapshot_steps


@pytest.fixture
def held_out() -> Digits:
    return bar_digits("validation")


def test_moments_are_spread_by_their_logarithm_from_the_first_step_to_the_last() -> None:
    steps = sorted(snapshot_steps(36_000))
    assert (steps[0], steps[-1]) == (1, 36_000)
    assert 40 <= len(steps) <= SNAPSHOTS
    ratios = [later / earlier for earlier, later in itertools.pairwise(steps) if earlier > 50]
    assert max(ratios) / min(ratios) < 1.1
    assert sorted(snapshot_steps(3)) == [1, 2, 3]


def test_a_moment_holds_what_the_model_makes_of_a_dozen_scenes(tmp_path: Path, held_out: Digits) -> None:
    scenes = snapshot_scenes(held_out, device=ALONE.device)
    assert tuple(scenes.shape) == (12, 1, 100, 100)
    assert torch.equal(scenes, snapshot_scenes(held_out, device=ALONE.device))
    model = GlimpseModel().eval()
    save_snapshot(tmp_path, 7, model, scenes)
    with np.load(tmp_path / FOLDER_NAME / "000007.npz") as kept:
        shapes = {name: kept[name].shape for name in kept.files}
        assert shapes == {
            "box": (12, 4),
            "attention": (12, 4),
            "heat": (12, 625),
            "probabilities": (12, 10),
            "glimpse": (12, 28, 28),
            "scene": (12, 100, 100),
        }
        output = model(scenes)
        expected = torch.stack(list(output.gaussian), dim=1).detach().numpy()
        np.testing.assert_allclose(kept["attention"], expected, rtol=2e-3)
        np.testing.assert_array_equal(kept["scene"], np.rint(scenes[:, 0].numpy() * 255))
