"""Varied handwriting: small changes of the digit, and of nothing else in a scene."""

from __future__ import annotations

import pytest
import torch

from tests.trainer.tiny import bar_digits
from trainer.data import LabelledBatch, TrainingScenes
from trainer.warp import MOST_TURN_RAD, warp

SEEDS = torch.arange(200)


def bars(count: int) -> torch.Tensor:
    """Pictures of upright bars, 4 px wide and 20 px long, in the middle: `[count, 28, 28]`."""
    canvases = torch.zeros(count, 28, 28)
    canvases[:, 4:24, 12:16] = 1.0
    return canvases


def turns(canvases: torch.Tensor) -> torch.Tensor:
    """How far each picture's longer axis is turned from upright, by its second moments: rad, `[n]`."""
    axis = torch.arange(28) - 13.5
    ink = canvases.sum((1, 2))
    mean_x, mean_y = (canvases.sum(1) @ axis) / ink, (canvases.sum(2) @ axis) / ink
    x, y = axis[None, None, :] - mean_x[:, None, None], axis[None, :, None] - mean_y[:, None, None]
    xx, yy, xy = ((canvases * moment).sum((1, 2)) / ink for moment in (x * x, y * y, x * y))
    return 0.5 * torch.atan2(2 * xy, yy - xx)


def test_nothing_drawn_leaves_a_digit_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.warp.uniform", lambda seeds, stream, count: torch.full((200, count), 0.5))
    torch.testing.assert_close(warp(bars(200), SEEDS), bars(200), atol=1e-5, rtol=0)


def test_digits_are_changed_a_little_each_in_its_own_way() -> None:
    varied = warp(bars(200), SEEDS)
    assert varied.shape == (200, 28, 28)
    assert varied.min() >= 0
    assert varied.max() <= 1 + 1e-5
    assert len(torch.unique(varied.flatten(1), dim=0)) == 200
    turned = turns(varied)
    # Slant and bends turn a bar as well; few are drawn so that all of it adds up.
    assert turned.abs().max() < 2 * MOST_TURN_RAD
    assert turned.std() > 0.05
    assert abs(turned.mean()) < 0.03, "no side is preferred"
    ink = varied.sum((1, 2)) / 80
    assert ink.min() > 0.6
    assert ink.max() < 1.5


def test_a_digit_is_a_function_of_its_seed() -> None:
    at_once = warp(bars(200), SEEDS)
    backwards = warp(bars(200), SEEDS.flip(0)).flip(0)
    torch.testing.assert_close(at_once, backwards, atol=1e-6, rtol=0)


def batch(*, warped: bool, without_digit: float) -> LabelledBatch:
    return TrainingScenes(
        {"article": 0.5, "cluttered-100": 0.5},
        bar_digits(),
        batch_size=16,
        seed=3,
        device=torch.device("cpu"),
        pasted=0.5,
        without_digit=without_digit,
        warped=warped,
    ).batch(0)


def test_all_but_the_digit_stays_as_it_was() -> None:
    varied, plain = (batch(warped=warped, without_digit=1.0) for warped in (True, False))
    assert torch.equal(varied.scenes, plain.scenes)
    varied, plain = (batch(warped=warped, without_digit=0.0) for warped in (True, False))
    assert torch.equal(varied.labels, plain.labels)
    changed = (varied.scenes != plain.scenes).flatten(1)
    assert changed.any(1).all()
    assert changed.float().mean() < 0.2


def test_the_picture_before_pasting_shows_the_same_digit() -> None:
    """What is compared with the ink must be varied in the same way as what the network sees."""
    digits = TrainingScenes(
        {"cluttered-100": 1.0}, bar_digits(), batch_size=8, seed=3, device=torch.device("cpu"), pasted=1.0,
        warped=True,
    ).batch(0)  # fmt: skip
    only_before = (digits.before_pasting > digits.scenes + 1e-6).float().mean()
    assert only_before == 0, "clutter adds ink, it takes none away"
    assert (digits.scenes > digits.before_pasting).any()
