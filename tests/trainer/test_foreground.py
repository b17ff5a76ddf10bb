"""The foreground from labels alone: what is hidden, what is judged, when a map counts as an object."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.task import Task
from trainer.data.picture_batches import PictureBatches
from trainer.folders.load import Pictures
from trainer.foreground.check import Check
from trainer.foreground.critic import Critic, filling, mixed, random_masks
from trainer.foreground.fit import ForegroundRecipe, as_dict, learn_foreground
from trainer.foreground.map_network import MapNetwork, map_losses
from trainer.model import NO_DIGIT

TASK = Task(classes=("cross", "ring"), side_px=48, channels=3)
CPU = torch.device("cpu")


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shapes(count: int, seed: int) -> tuple[Pictures, Tensor]:
    """Crosses and rings of random colours on noise, and the pixels that they cover, bool `[n, 48, 48]`."""
    chance = random(seed)
    place = torch.arange(TASK.side_px) + 0.5
    centre = 14 + 20 * torch.rand(count, 2, 1, 1, generator=chance)
    x, y = (place[None, None, :] - centre[:, 0]).abs(), (place[None, :, None] - centre[:, 1]).abs()
    labels = torch.arange(count) % 2
    cross = ((x < 2) & (y < 9)) | ((y < 2) & (x < 9))
    away = torch.sqrt(x * x + y * y)
    covered = torch.where(labels[:, None, None] == 0, cross, (away < 9) & (away > 5))
    colours = torch.randint(150, 256, (count, 3, 1, 1), generator=chance)
    ground = torch.randint(0, 120, (count, 3, 48, 48), generator=chance)
    images = torch.where(covered[:, None], colours, ground).to(torch.uint8)
    return Pictures(images, labels, tuple(map(str, range(count))), ((48, 48),) * count), covered


def test_a_mask_hides_a_rectangle_or_all_but_it() -> None:
    masks = random_masks(400, 48, random())
    assert masks.shape == (400, 1, 48, 48)
    assert masks.min() >= 0
    assert masks.max() <= 1
    kept = masks.mean(dim=(1, 2, 3))
    assert 0.35 < (kept < 0.5).float().mean() < 0.65  # a coin decides which of both is hidden
    assert torch.equal(masks, random_masks(400, 48, random()))


def test_the_filling_is_smooth_and_knows_nothing_of_what_it_hides() -> None:
    pictures, _ = shapes(8, 0)
    scenes = pictures.images.float() / 255
    fill = filling(scenes, random())
    assert fill.shape == scenes.shape
    assert fill.std(dim=(2, 3)).mean() < 0.7 * scenes.std(dim=(2, 3)).mean()
    kept = torch.zeros(8, 1, 48, 48)
    kept[..., :24] = 1
    shown = mixed(scenes, kept, fill)
    assert torch.equal(shown[..., :24], scenes[..., :24])
    assert torch.equal(shown[..., 24:], fill[..., 24:])


def test_the_map_learns_and_the_critic_stays() -> None:
    pictures, _ = shapes(8, 0)
    critic = Critic(TASK).eval().requires_grad_(requires_grad=False)
    network = MapNetwork(TASK)
    losses = map_losses(network, critic, pictures.images.float() / 255, pictures.labels, 0.5, random())
    losses.total.backward()
    expected = losses.kept + losses.left_out + 0.5 * losses.log_area + losses.label
    torch.testing.assert_close(losses.total, expected)
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())
    assert all(value.grad is None for value in critic.parameters())


@pytest.mark.parametrize(
    ("found", "localised"),
    [
        (Check(0.93, 0.93, 0.11, 0.03, 0.10), True),  # digits
        (Check(0.65, 0.56, 0.21, 0.21, 0.10), True),  # things on photographs
        (Check(0.82, 0.84, 0.59, 0.84, 0.50), False),  # the map is the picture
        (Check(0.90, 0.90, 0.60, 0.20, 0.10), False),  # the outside tells as much
        (Check(0.90, 0.40, 0.10, 0.05, 0.10), False),  # the map keeps too little
        (Check(0.15, 0.15, 0.10, 0.05, 0.10), False),  # the critic knows nothing
    ],
)
def test_labels_tell_whether_a_map_is_an_object(found: Check, localised: bool) -> None:
    assert found.localised is localised


def test_each_class_is_drawn_as_often_and_ink_moves_with_its_picture() -> None:
    pictures, covered = shapes(40, 0)
    rare = Pictures(
        torch.cat([pictures.images, pictures.images[:5]]),
        torch.cat([torch.zeros(38), torch.ones(2), torch.full((5,), NO_DIGIT)]).long(),
        pictures.files + pictures.files[:5],
        pictures.sizes_px + pictures.sizes_px[:5],
    )
    ink = torch.cat([covered, covered[:5]]).to(torch.uint8) * 255
    stream = PictureBatches(rare, ink, classes=2, batch_size=400, seed=0, device=CPU, mirror=True)
    batch = stream.batch(3)
    counts = [(batch.labels == label).float().mean().item() for label in (0, 1, NO_DIGIT)]
    assert counts == pytest.approx([7 / 16, 7 / 16, 1 / 8], abs=0.07)
    bright = (batch.scenes.amax(1) > 0.53) & (batch.scenes.amin(1) > 0.35)
    both = (bright & (batch.ink[:, 0] > 0.5)).sum() / bright.sum()
    assert both > 0.8
    assert all(map(torch.equal, batch, stream.batch(3)))
    assert not torch.equal(batch.scenes, stream.batch(4).scenes)


def test_shapes_are_found_from_their_labels() -> None:
    """On pictures that were not learnt from, and nothing but pictures and labels is asked for."""
    train, covered = shapes(160, 1)
    held_out, _ = shapes(60, 2)
    recipe = ForegroundRecipe(critic_steps=160, map_steps=120, hide_from=40, area_ramp=40)
    told: list[tuple[str, int, int]] = []
    found = learn_foreground(
        train, held_out, TASK, recipe, seed=0, device=CPU, progress=lambda *at: told.append(at)
    )
    assert found.check.localised
    assert found.mirror  # a cross and a ring are their own mirror images
    assert found.maps.shape == (160, 12, 12)
    inside = torch.nn.functional.avg_pool2d(covered[:, None].float(), 4)[:, 0] > 0.5
    shown = found.maps.float() / 255
    assert shown[inside].mean() > 2 * shown[~inside].mean()
    assert told[0] == ("critic", 1, 160)
    assert told[-1][1] == told[-1][2] == 120
    assert set(as_dict(found)) == {*Check._fields, "area_weight"}
