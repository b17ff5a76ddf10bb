"""Varied handwriting: small changes of digits, for targets and clutter alike, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scenes.digits import digits_like, soften
from tests.trainer.tiny import bar_digits
from trainer.data.elastic import MOST_TURN_RAD, augment_digits, deform
from trainer.data.training_scenes import SCENES_PER_AUGMENTATION, TrainingScenes

SEEDS = torch.arange(200)
BATCH = 16


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
    monkeypatch.setattr(
        "trainer.data.elastic.uniform", lambda seeds, stream, count: torch.full((200, count), 0.5)
    )
    torch.testing.assert_close(deform(bars(200), SEEDS), bars(200), atol=1e-5, rtol=0)


def test_digits_are_changed_a_little_each_in_its_own_way() -> None:
    varied = deform(bars(200), SEEDS)
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
    at_once = deform(bars(200), SEEDS)
    backwards = deform(bars(200), SEEDS.flip(0)).flip(0)
    torch.testing.assert_close(at_once, backwards, atol=1e-6, rtol=0)


def test_a_varied_digit_is_about_as_sharp_as_it_was() -> None:
    """Or the digit that is to be found could be told from the crops around it by its softness."""
    steps = (
        bars(200).diff(dim=2).abs().amax((1, 2)),
        deform(bars(200), SEEDS).diff(dim=2).abs().amax((1, 2)),
    )
    assert steps[0].min() == 1
    assert steps[1].mean() > 0.75


def test_cubic_sampling_keeps_a_digit_sharper_than_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    def sharpness(canvases: torch.Tensor) -> float:
        """1 where all ink is full, less where edges are soft."""
        return float(((canvases**2).sum((1, 2)) / canvases.sum((1, 2))).mean())

    cubic = deform(bars(200), SEEDS)
    monkeypatch.setattr("trainer.data.elastic.INTERPOLATION", "bilinear")
    linear = deform(bars(200), SEEDS)
    assert sharpness(bars(200)) == 1
    assert 0.85 < sharpness(linear) < sharpness(cubic)


def test_all_digits_are_varied_and_keep_their_classes() -> None:
    plain = digits_like(torch.zeros(0), bar_digits())
    varied = augment_digits(plain, torch.arange(60))
    # A digit of which next to nothing was drawn may stay as it is.
    assert (plain.images != varied.images).flatten(1).any(1).float().mean() > 0.9
    assert (varied.images.dtype, varied.images.shape) == (torch.uint8, (60, 28, 28))
    assert torch.equal(varied.softened, soften(varied.images))
    for name in ("labels", "by_class", "class_start", "class_count"):
        assert torch.equal(getattr(plain, name), getattr(varied, name))


def test_digits_are_varied_a_few_at_a_time_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = digits_like(torch.zeros(0), bar_digits())
    at_once = augment_digits(plain, torch.arange(60)).images
    monkeypatch.setattr("trainer.data.elastic._AT_ONCE", 7)
    assert torch.equal(augment_digits(plain, torch.arange(60)).images, at_once)


def stream(**changes: Any) -> TrainingScenes:
    options: dict[str, Any] = {"batch_size": BATCH, "seed": 3, "elastic": True, **changes}
    mixture = options.pop("mixture", {"article": 0.5, "cluttered-100": 0.5})
    return TrainingScenes(mixture, bar_digits(), device=torch.device("cpu"), **options)


@pytest.mark.parametrize("name", ["article", "cluttered-100"])
def test_clutter_is_varied_like_the_digit(name: str) -> None:
    """Or a digit could be told from it by its make."""
    varied, plain = (
        stream(elastic=elastic, without_digit=1.0, mixture={name: 1.0}).batch(0) for elastic in (True, False)
    )
    assert (varied.scenes != plain.scenes).flatten(1).any(1).float().mean() > 0.9


def test_a_varied_digit_is_as_tall_as_it_was() -> None:
    """The longer side of its box, which is mostly the height, is about what it was."""
    rows = (deform(bars(200), SEEDS).amax(2) > 0.5).sum(1).float()
    assert abs(rows.mean() - 20) < 0.5
    assert rows.min() >= 17


def test_labels_and_places_stay_as_they_were() -> None:
    varied, plain = (stream(elastic=elastic, mixture={"clean": 1.0}).batch(0) for elastic in (True, False))
    assert torch.equal(varied.labels, plain.labels)
    changed = (varied.scenes != plain.scenes).flatten(1)
    assert changed.any(1).float().mean() > 0.9
    assert changed.float().mean() < 0.05
    overlap = (varied.scenes * plain.scenes).flatten(1).sum(1) / (plain.scenes**2).flatten(1).sum(1)
    assert overlap.min() > 0.3


def test_the_picture_before_pasting_shows_the_same_digit() -> None:
    """What is compared with the ink must be varied in the same way as what the network sees."""
    digits = stream(mixture={"cluttered-100": 1.0}, copy_paste=1.0).batch(0)
    only_before = (digits.ink > digits.scenes + 1e-6).float().mean()
    assert only_before == 0, "clutter adds ink, it takes none away"
    assert (digits.scenes > digits.ink).any()


def test_digits_are_varied_anew_now_and_then_and_a_resumed_run_sees_the_same() -> None:
    later = SCENES_PER_AUGMENTATION // BATCH + 3
    unbroken = stream()
    seen = [unbroken.batch(step) for step in (0, later)]
    early = stream()
    early.batch(0)
    assert not torch.equal(early._digits(0).images, unbroken._digits(1).images)
    resumed = stream()
    assert torch.equal(resumed.batch(later).scenes, seen[1].scenes)
    assert torch.equal(resumed.batch(0).scenes, seen[0].scenes)
