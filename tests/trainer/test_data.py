"""A batch is a function of seed and step, shared among processes without a gap or a double."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scenes.draw import draw
from scenes.presets import find_preset
from scenes.render import render
from tests.trainer.tiny import bar_digits
from trainer.data import TrainingScenes
from trainer.presets import EVERYTHING

CPU = torch.device("cpu")


def stream(**changes: object) -> TrainingScenes:
    options = {"mixture": EVERYTHING, "batch_size": 20, "seed": 3, "device": CPU} | changes
    mixture = options.pop("mixture")
    return TrainingScenes(mixture, bar_digits(), **options)  # type: ignore[arg-type]


def pictures(scenes: Tensor, labels: Tensor) -> list[tuple[int, bytes]]:
    return [(int(label), scene.numpy().tobytes()) for scene, label in zip(scenes, labels, strict=True)]


def test_a_batch_has_the_models_shape_and_range() -> None:
    batch = stream().batch(0)
    assert (tuple(batch.scenes.shape), batch.scenes.dtype) == ((20, 1, 100, 100), torch.float32)
    assert (tuple(batch.labels.shape), batch.labels.dtype) == ((20,), torch.int64)
    assert batch.scenes.min() >= 0
    assert batch.scenes.max() <= 1


def test_the_order_in_which_batches_are_asked_for_changes_nothing() -> None:
    forwards, backwards = stream(), stream()
    steps = [0, 1, 7, 8, 9, 23]  # on both sides of where scenes are made several steps at once
    expected = {step: forwards.batch(step) for step in steps}
    for step in reversed(steps):
        batch = backwards.batch(step)
        assert torch.equal(batch.scenes, expected[step].scenes)
        assert torch.equal(batch.labels, expected[step].labels)
    assert not torch.equal(expected[0].scenes, expected[1].scenes)


def test_another_seed_makes_other_scenes_and_windows() -> None:
    one, other = stream(), stream(seed=4)
    assert not torch.equal(one.batch(0).scenes, other.batch(0).scenes)
    assert not torch.equal(one.windows(0)[0].shift_x, other.windows(0)[0].shift_x)
    assert not torch.equal(one.windows(0)[0].shift_x, one.windows(1)[0].shift_x)


def test_a_batch_shows_what_the_scene_stage_makes_of_its_seeds() -> None:
    # Run 3 begins at seed 3 · 2⁴⁰; step 9 of 20 scenes at 180 more.
    seeds = torch.arange(3 * 2**40 + 180, 3 * 2**40 + 200)
    digits = stream()._digits
    parameters = draw(find_preset("article"), seeds, digits)
    batch = stream(mixture={"article": 1.0}).batch(9)
    assert torch.equal(batch.scenes[:, 0], render(parameters, digits))
    assert torch.equal(batch.labels, parameters.label)


def test_smaller_scenes_lie_in_the_middle_of_the_frame() -> None:
    scenes = stream(mixture={"cluttered-60": 1.0}).batch(0).scenes
    assert scenes[:, :, 20:80, 20:80].amax(dim=(1, 2, 3)).min() > 0.9
    scenes[:, :, 20:80, 20:80] = 0
    assert scenes.max() == 0


@pytest.mark.parametrize("batch_size", [20, 6])
@pytest.mark.parametrize("step", [0, 11])
def test_two_processes_share_the_scenes_of_one(batch_size: int, step: int) -> None:
    whole = stream(batch_size=batch_size)
    shares = [stream(batch_size=batch_size, rank=rank, world=2) for rank in (0, 1)]
    together = [pictures(*share.batch(step)) for share in shares]
    assert [len(share) for share in together] == [batch_size // 2] * 2
    assert sorted(picture for share in together for picture in share) == sorted(pictures(*whole.batch(step)))
    assert len({picture for share in together for picture in share}) == batch_size
    # Nor do two processes see the same random windows.
    for window in (0, 1):
        of_both = torch.cat([share.windows(step)[window].shift_x for share in shares])
        assert sorted(of_both.tolist()) == sorted(whole.windows(step)[window].shift_x.tolist())


def test_windows_move_and_scale_as_far_as_they_say() -> None:
    first, second = stream(batch_size=4000).windows(0)
    for windows, shift, log_scale in ((first, 0.15, 0.15), (second, 0.05, 0.08)):
        for values, limit in (
            (windows.shift_x, shift),
            (windows.shift_y, shift),
            (windows.log_scale, log_scale),
        ):
            assert 0.99 * limit < values.max() <= limit
            assert -limit <= values.min() < -0.99 * limit
            assert values.mean().abs() < 0.05 * limit
        assert torch.corrcoef(torch.stack(list(windows)))[0, 1:].abs().max() < 0.08


def test_a_mixture_that_does_not_make_a_whole_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mixture: expected shares that sum to 1, got \{'article': 0.5\}"):
        stream(mixture={"article": 0.5})


def test_an_unknown_scene_preset_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"scene preset: expected one of article, .*, got 'artcle'"):
        stream(mixture={"artcle": 1.0})


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size: expected a multiple of 3 processes, got 20"):
        stream(world=3)
