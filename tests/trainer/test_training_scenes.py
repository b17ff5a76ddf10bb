"""A batch is a function of seed and step, shared among processes without a gap or a double."""

from __future__ import annotations

import pytest
import torch

from scenes.draw import draw
from scenes.presets import find_preset
from scenes.render import render
from tests.trainer.tiny import bar_digits
from trainer.data.batches import LabelledBatch
from trainer.data.training_scenes import TrainingScenes
from trainer.model import NO_DIGIT
from trainer.training.presets import EVERYTHING

CPU = torch.device("cpu")


def stream(**changes: object) -> TrainingScenes:
    options = {"mixture": EVERYTHING, "batch_size": 20, "seed": 3, "device": CPU} | changes
    mixture = options.pop("mixture")
    return TrainingScenes(mixture, bar_digits(), **options)  # type: ignore[arg-type]


def pictures(batch: LabelledBatch) -> list[tuple[int, bytes, bytes]]:
    return [
        (int(label), scene.numpy().tobytes(), before.numpy().tobytes())
        for scene, before, label in zip(*batch, strict=True)
    ]


def same(one: LabelledBatch, other: LabelledBatch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def differ(batch: LabelledBatch) -> list[bool]:
    """Of each scene, whether it was another before clutter was pasted in."""
    changed: list[bool] = (batch.scenes != batch.ink).flatten(1).any(1).tolist()
    return changed


def test_a_batch_has_the_models_shape_and_range() -> None:
    batch = stream(copy_paste=0.5).batch(0)
    for scenes in (batch.scenes, batch.ink):
        assert (tuple(scenes.shape), scenes.dtype) == ((20, 1, 100, 100), torch.float32)
        assert scenes.min() >= 0
        assert scenes.max() <= 1
    assert (tuple(batch.labels.shape), batch.labels.dtype) == ((20,), torch.int64)


def test_the_order_in_which_batches_are_asked_for_changes_nothing() -> None:
    changes = {"copy_paste": 0.5, "without_digit": 0.2}
    forwards, backwards = stream(**changes), stream(**changes)
    steps = [0, 1, 7, 8, 9, 23]  # on both sides of where scenes are made several steps at once
    expected = {step: forwards.batch(step) for step in steps}
    for step in reversed(steps):
        assert same(backwards.batch(step), expected[step])
    assert not torch.equal(expected[0].scenes, expected[1].scenes)


def test_another_seed_makes_other_scenes_and_windows() -> None:
    one, other = stream(), stream(seed=4)
    assert not torch.equal(one.batch(0).scenes, other.batch(0).scenes)
    assert not torch.equal(one.windows(0)[0].shift_x, other.windows(0)[0].shift_x)
    assert not torch.equal(one.windows(0)[0].shift_x, one.windows(1)[0].shift_x)


def test_a_batch_shows_what_the_scene_stage_makes_of_its_seeds() -> None:
    # Run 3 begins at seed 3 · 2⁴⁰; step 9 of 20 scenes at 180 more.
    seeds = torch.arange(3 * 2**40 + 180, 3 * 2**40 + 200)
    digits = stream()._original_digits
    parameters = draw(find_preset("article"), seeds, digits)
    batch = stream(mixture={"article": 1.0}).batch(9)
    assert torch.equal(batch.scenes[:, 0], render(parameters, digits))
    assert torch.equal(batch.ink, batch.scenes)
    assert torch.equal(batch.labels, parameters.label)


def test_a_share_of_each_cluttered_presets_scenes_has_more_clutter_than_before() -> None:
    mixture = {"article": 0.4, "clean": 0.2, "cluttered-100": 0.4}
    batch = stream(mixture=mixture, copy_paste=0.75, batch_size=40).batch(0)
    # Of 16 scenes of the first preset 4 are as they were, then 12 are crowded; of 8 without clutter none.
    crowded = differ(batch)
    assert crowded[:16] == [False] * 4 + [True] * 12
    assert crowded[16:24] == [False] * 8
    assert crowded[24:28] == [False] * 4
    # Four crops of a digit may all be of its dark corners: that one of twelve is, no more.
    assert sum(crowded[28:]) >= 11
    assert (batch.scenes >= batch.ink).all()
    assert differ(stream(mixture=mixture, batch_size=40).batch(0)) == [False] * 40
    # What is not crowded is what it would be without pasting.
    plain = stream(mixture=mixture, batch_size=40).batch(0)
    kept = ~torch.tensor(crowded)
    assert torch.equal(batch.scenes[kept], plain.scenes[kept])
    assert torch.equal(batch.labels, plain.labels)


def test_some_scenes_have_no_digit_and_the_others_are_as_they_were() -> None:
    plain = stream(mixture={"article": 1.0}, batch_size=40, copy_paste=0.5).batch(0)
    batch = stream(mixture={"article": 1.0}, batch_size=40, copy_paste=0.5, without_digit=0.3).batch(0)
    absent = batch.labels == NO_DIGIT
    assert 4 <= absent.sum() <= 20
    assert NO_DIGIT == -1
    for found, expected in zip(batch, plain, strict=True):
        assert torch.equal(found[~absent], expected[~absent])
    # In a picture and in the one before pasting it is gone alike: where the digit was it is darker.
    for found, expected in ((batch.scenes, plain.scenes), (batch.ink, plain.ink)):
        gone = (expected - found)[absent]
        assert gone.flatten(1).amax(1).min() > 0.2
        assert gone.min() >= -1e-6

    clean = stream(mixture={"clean": 1.0}, batch_size=40, without_digit=0.3).batch(0)
    absent = clean.labels == NO_DIGIT
    assert absent.any()
    assert torch.equal(clean.scenes.flatten(1).any(1), ~absent)


def test_the_share_without_a_digit_is_as_given_and_the_same_for_every_class() -> None:
    options = {"mixture": {"clean": 1.0}, "batch_size": 500}
    with_all, with_some = stream(**options), stream(**options, without_digit=1 / 16)
    labels, found = (
        torch.cat([source.batch(step).labels for step in range(8)]) for source in (with_all, with_some)
    )
    absent = found == NO_DIGIT
    assert torch.equal(found[~absent], labels[~absent])
    # Within 5 standard deviations of a sixteenth of 4,000, and of some 400 of each class.
    assert abs(int(absent.sum()) - 250) < 5 * (4000 * 15 / 256) ** 0.5
    for label in range(10):
        of_class = labels == label
        expected = int(of_class.sum()) / 16
        assert abs(int(absent[of_class].sum()) - expected) < 5 * expected**0.5


def test_smaller_scenes_lie_in_the_middle_of_the_frame() -> None:
    scenes = stream(mixture={"cluttered-60": 1.0}).batch(0).scenes
    assert scenes[:, :, 20:80, 20:80].amax(dim=(1, 2, 3)).min() > 0.9
    scenes[:, :, 20:80, 20:80] = 0
    assert scenes.max() == 0


@pytest.mark.parametrize("batch_size", [20, 6])
@pytest.mark.parametrize("step", [0, 11])
def test_two_processes_share_the_scenes_of_one(batch_size: int, step: int) -> None:
    changes = {"batch_size": batch_size, "copy_paste": 0.5, "without_digit": 0.2}
    whole = stream(**changes)
    shares = [stream(**changes, rank=rank, world=2) for rank in (0, 1)]
    together = [pictures(share.batch(step)) for share in shares]
    assert [len(share) for share in together] == [batch_size // 2] * 2
    assert sorted(picture for share in together for picture in share) == sorted(pictures(whole.batch(step)))
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
