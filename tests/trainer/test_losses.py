"""Each term of the loss against values worked out by hand, and the place where the box comes to rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.attention import Gaussian, boxes, gaussian_of_box
from trainer.losses import (
    VARIANCE_PER_INK,
    Losses,
    LossWeights,
    compute_losses,
    distillation_loss,
    heat_spread_penalty,
    tightness_losses,
)
from trainer.model import ForwardOutput, GlimpseModel


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def test_the_heat_spread_of_two_points() -> None:
    heat = torch.zeros(2, 25, 25)
    # Half of the heat in each of two cells, 8 columns and 6 rows apart: variances 16 and 9 cells².
    heat[0, 3, 5] = heat[0, 9, 13] = 0.5
    heat[1, 20, 4] = 1.0  # one place has none
    assert heat_spread_penalty(heat.flatten(1)).tolist() == pytest.approx(
        [math.log(26), 0], rel=1e-5, abs=1e-6
    )


def test_distillation_is_nothing_between_equals_and_worth_its_formula_otherwise() -> None:
    refined = gaussian_of_box(numbers(50), numbers(40), numbers(10), numbers(20))
    assert distillation_loss(refined, refined).item() == 0
    # 4 px off in x, a fifth of the longer side: 0.2 − 0.05 (smooth L1, β 0.1). Half the height: log 2 − 0.05.
    coarse = gaussian_of_box(numbers(54), numbers(40), numbers(10), numbers(10))
    expected = 0.15 + math.log(2) - 0.05
    assert distillation_loss(coarse, refined).item() == pytest.approx(expected, rel=1e-5)
    # 1 px off in y: 0.05 of the side, inside of β: ½ · 0.05² / 0.1.
    coarse = gaussian_of_box(numbers(50), numbers(41), numbers(10), numbers(20))
    assert distillation_loss(coarse, refined).item() == pytest.approx(0.0125, rel=1e-3)
    # Each scene has its own.
    both = gaussian_of_box(numbers(54, 50), numbers(40, 41), numbers(10, 10), numbers(10, 20))
    teachers = gaussian_of_box(numbers(50, 50), numbers(40, 40), numbers(10, 10), numbers(20, 20))
    assert distillation_loss(both, teachers).tolist() == pytest.approx([expected, 0.0125], rel=1e-3)


def test_distillation_teaches_the_coarse_gaussian_alone() -> None:
    coarse = [numbers(value).requires_grad_() for value in (54.0, 43.0, 5.0, 6.0)]
    refined = [numbers(value).requires_grad_() for value in (50.0, 40.0, 4.0, 4.0)]
    distillation_loss(Gaussian(*coarse), Gaussian(*refined)).backward()
    for learner in coarse:
        assert learner.grad is not None
        assert learner.grad.item() != 0
    assert [teacher.grad for teacher in refined] == [None] * 4


def rectangle(left: int, top: int, width: int, height: int, background: float = 0.0) -> Tensor:
    scene = torch.full((1, 1, 100, 100), background)
    scene[:, :, top : top + height, left : left + width] = 0.9
    return scene


def test_the_variance_penalty_is_the_log_of_both_sigmas_where_there_is_ink() -> None:
    # Boxes around the ink, σ being e² and e px in the first scene, e and e in the second: 2 + 1 and 1 + 1. In
    # the third there is nothing to be tight around.
    e = math.e
    gaussian = Gaussian(numbers(60, 60, 60), numbers(28, 28, 28), numbers(e * e, e, e), numbers(e, e, e))
    scenes = torch.cat([rectangle(50, 22, 20, 12), rectangle(50, 22, 20, 12), torch.zeros(1, 1, 100, 100)])
    variance, foreground_retention = tightness_losses(gaussian, scenes)
    assert variance.tolist() == pytest.approx([3, 2, 0], abs=1e-5)
    assert (foreground_retention[:2] > 0).all()
    assert foreground_retention[2] == 0


def test_where_there_is_no_ink_nothing_pulls() -> None:
    numbers_of = [numbers(value).requires_grad_() for value in (60.0, 28.0, 5.0, 4.0)]
    variance, foreground_retention = tightness_losses(
        Gaussian(*numbers_of), torch.full((1, 1, 100, 100), 0.3)
    )
    assert (variance.item(), foreground_retention.item()) == (0, 0)
    (variance + foreground_retention).backward()
    assert [value.grad is None or value.grad.item() == 0 for value in numbers_of] == [True] * 4


def test_ink_that_is_kept_wholly_costs_nothing_and_half_of_it_costs_log_2() -> None:
    scene = rectangle(50, 22, 20, 12)
    wide = gaussian_of_box(numbers(60), numbers(28), numbers(40), numbers(24))
    assert tightness_losses(wide, scene)[1].item() == pytest.approx(0, abs=0.01)
    # In x the box ends at the rectangle's middle, and its own middle is the rectangle's left edge: of the
    # ink in the window, from 50 to 70, the box to 60 keeps a half. In y it keeps all. The least share that is
    # added to both, 0.05, makes it log(1.05 / 0.55) instead of log(1 / 0.5).
    half = gaussian_of_box(numbers(50), numbers(28), numbers(20), numbers(24))
    assert tightness_losses(half, scene)[1].item() == pytest.approx(math.log(1.05 / 0.55), abs=0.05)


@pytest.mark.parametrize(("left", "top", "width", "height"), [(51, 22, 20, 12), (12, 60, 11, 26)])
@pytest.mark.parametrize("start", [1.5, 0.7])
@pytest.mark.parametrize("background", [0.0, 0.1])
def test_the_variance_against_the_kept_ink_comes_to_rest_at_the_edges(
    left: int, top: int, width: int, height: int, start: float, background: float
) -> None:
    scene = rectangle(left, top, width, height, background)
    # 2 px right of the middle, 1 px above it, and too large or too small.
    place = torch.tensor([left + width / 2 + 2, top + height / 2 - 1], requires_grad=True)
    log_side = torch.tensor([math.log(width * start), math.log(height * start)], requires_grad=True)
    descent = torch.optim.Adam([{"params": [place], "lr": 0.2}, {"params": [log_side], "lr": 0.02}])
    schedule = torch.optim.lr_scheduler.LinearLR(descent, 1, 0.02, 250)

    def gaussian() -> Gaussian:
        x, y = place.unbind()
        across, down = log_side.exp().unbind()
        return gaussian_of_box(x[None], y[None], across[None], down[None])

    for _ in range(250):
        descent.zero_grad()
        variance, foreground_retention = tightness_losses(gaussian(), scene)
        (VARIANCE_PER_INK * variance + foreground_retention).backward()
        descent.step()
        schedule.step()
    x, y, across, down = boxes(gaussian())[0].tolist()
    assert [x, y, x + across, y + down] == pytest.approx([left, top, left + width, top + height], abs=1.0)


def pass_over(scenes: Tensor) -> ForwardOutput:
    """What an untrained model finds, as numbers that gradients end in."""
    torch.manual_seed(0)

    model = GlimpseModel().eval()
    torch.nn.init.normal_(model.refiner.head.weight, std=0.5)  # not nought: it does correct
    return each(model(scenes), lambda values: values.detach().requires_grad_())


def each(output: ForwardOutput, change: Callable[[Tensor], Tensor]) -> ForwardOutput:
    """The pass with every tensor changed."""
    changed: dict[str, Any] = {
        name: Gaussian(*map(change, value)) if isinstance(value, Gaussian) else change(value)
        for name, value in output._asdict().items()
    }
    return ForwardOutput(**changed)


def tensors_of(output: ForwardOutput) -> dict[str, Tensor]:
    """The tensors of a pass by name, those of its Gaussians each by itself."""
    found: dict[str, Tensor] = {}
    for name, value in output._asdict().items():
        if isinstance(value, Gaussian):
            found |= {f"{name}.{part}": tensor for part, tensor in value._asdict().items()}
        else:
            found[name] = value
    return found


WEIGHTS = LossWeights(
    refiner_label=2, pooled_label=3, presence=13, tightness=5, distillation=7, heat_spread=11
)
SOME_ABSENT = torch.tensor([3, -1, 4, 1, -1])


@pytest.fixture
def scenes() -> Tensor:
    return torch.rand(5, 1, 100, 100, generator=torch.Generator().manual_seed(0))


def detached(losses: Losses) -> Losses:
    return Losses(*(value.detach() for value in losses))


@pytest.mark.parametrize("canvas_px", [28, 45, 64])
def test_a_box_rests_within_a_third_of_a_canvas_px_of_where_soft_edges_have_half_of_their_height(
    canvas_px: int,
) -> None:
    """So `FAINT_EDGE_PER_SIDE` may start from there; that the fading at gaps rests it inside is known."""
    px = canvas_px / 28
    pixels = torch.arange(100) + 0.5

    def strip(length: float) -> Tensor:  # edges one canvas px wide
        return (length / 2 + 0.5 - (pixels - 50).abs() / px).clamp(0, 1)

    scene = (strip(20)[:, None] * strip(12))[None, None]
    height = (torch.linspace(18, 22, 401) * px).requires_grad_()
    place, width = torch.full((401,), 50.0), torch.full((401,), 12 * px)
    boxed = gaussian_of_box(place, place, width, height)
    variance, foreground_retention = tightness_losses(boxed, scene.expand(401, -1, -1, -1))
    (pull,) = torch.autograd.grad((VARIANCE_PER_INK * variance + foreground_retention).sum(), height)
    assert pull[0] < 0  # it grows
    assert pull[-1] > 0  # it shrinks
    rest = height[(pull < 0).nonzero().max()].item() / px
    assert rest == pytest.approx(20, abs=2 / 3)


@pytest.mark.parametrize(("canvas_px", "thickness"), [(28, 3.0), (48, 3.0), (48, 1.2)])
def test_bright_specks_around_ink_hardly_widen_its_box(canvas_px: int, thickness: float) -> None:
    """One in five of the canvas's pixels is replaced, as by `digit_noise`, with strokes as of a pen."""
    random = torch.Generator().manual_seed(0)
    count, canvas = 48, torch.arange(28) + 0.5 - 14
    outer = (7 - canvas.abs() + 0.5).clamp(0, 1), (10 - canvas.abs() + 0.5).clamp(0, 1)
    inner = (
        (7 - thickness - canvas.abs() + 0.5).clamp(0, 1),
        (10 - thickness - canvas.abs() + 0.5).clamp(0, 1),
    )
    ring = (outer[1][:, None] * outer[0] - inner[1][:, None] * inner[0]).expand(count, 28, 28)
    specks = torch.rand(count, 28, 28, generator=random) < 0.2
    canvases = torch.where(specks, torch.rand(count, 28, 28, generator=random), ring)[:, None]
    scenes = torch.nn.functional.pad(
        torch.nn.functional.interpolate(canvases, size=canvas_px, mode="bilinear"),
        [(100 - canvas_px) // 2] * 4,
    )
    true = torch.tensor([14.0, 20.0]) * canvas_px / 28
    log_sides = (true * 1.15).log().expand(count, 2).clone().requires_grad_()
    place, descent = torch.full((count,), 50.0), torch.optim.Adam([log_sides], lr=0.02)
    schedule = torch.optim.lr_scheduler.LinearLR(descent, 1, 0.1, 120)
    for _ in range(120):
        descent.zero_grad()
        variance, kept = tightness_losses(gaussian_of_box(place, place, *log_sides.exp().unbind(1)), scenes)
        (VARIANCE_PER_INK * variance + kept).sum().backward()
        descent.step()
        schedule.step()
    wider = (log_sides.exp() / true).mean(0)
    assert (wider > 0.98).all()
    assert wider.max() < (1.06 if thickness > 2 else 1.25)


def test_the_total_is_the_weighted_sum_and_the_ramp_switches_the_shaping_terms(scenes: Tensor) -> None:
    output, labels = pass_over(scenes), torch.tensor([3, 1, 4, 1, 5])
    off, half = (detached(compute_losses(output, scenes, labels, WEIGHTS, ramp)) for ramp in (0.0, 0.5))
    no_shaping = off.label + 2 * off.refiner_label + 3 * off.pooled_label + 13 * off.presence
    torch.testing.assert_close(off.total, no_shaping)
    shaping = (
        5 * (VARIANCE_PER_INK * half.variance + half.foreground_retention)
        + 7 * half.distillation
        + 11 * half.heat_spread
    )
    torch.testing.assert_close(half.total, no_shaping + 0.5 * shaping)
    for found, logits in (
        (off.label, output.logits),
        (off.refiner_label, output.refiner_logits),
        (off.pooled_label, output.pooled_logits),
    ):
        expected = -torch.log_softmax(logits, 1)[torch.arange(5), labels].mean()
        torch.testing.assert_close(found, expected.detach())
    with_tensor = detached(compute_losses(output, scenes, labels, WEIGHTS, torch.tensor(0.5)))
    assert with_tensor == half


def test_presence_is_asked_of_every_scene(scenes: Tensor) -> None:
    output = pass_over(scenes)._replace(presence_logit=numbers(0, 0, math.log(3), -math.log(3), math.log(4)))
    found = compute_losses(output, scenes, SOME_ABSENT, WEIGHTS, 1.0).presence
    # Chances of a digit: ½, ½, ¾, ¼, ⅘, where there is one, none, one, one, none.
    expected = -(math.log(1 / 2) * 2 + math.log(3 / 4) + math.log(1 / 4) + math.log(1 / 5)) / 5
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_scenes_without_a_digit_count_in_no_other_term(scenes: Tensor) -> None:
    """All terms but presence are those of the scenes with a digit, as if the others had not been there."""
    output, present = pass_over(scenes), SOME_ABSENT >= 0
    rest = each(output, lambda values: values[present])
    found = detached(compute_losses(output, scenes, SOME_ABSENT, WEIGHTS, 1.0))
    alone = detached(compute_losses(rest, scenes[present], SOME_ABSENT[present], WEIGHTS, 1.0))
    for name in set(Losses._fields) - {"total", "presence"}:
        torch.testing.assert_close(getattr(found, name), getattr(alone, name))
        assert getattr(found, name) != 0
    torch.testing.assert_close(found.total - 13 * found.presence, alone.total - 13 * alone.presence)


def test_nothing_pulls_at_the_attention_where_there_is_no_digit(scenes: Tensor) -> None:
    output = pass_over(scenes)
    compute_losses(output, scenes, SOME_ABSENT, WEIGHTS, 1.0).total.backward()
    pulled = {name: tensor.grad for name, tensor in tensors_of(output).items() if tensor.grad is not None}
    assert set(pulled) == {
        *("logits", "refiner_logits", "pooled_logits", "presence_logit", "heat"),
        *(f"{which}.{part}" for which in ("coarse", "gaussian") for part in Gaussian._fields),
    }
    for name, gradient in pulled.items():
        of_each = gradient.flatten(1).abs().amax(1) if gradient.ndim > 1 else gradient.abs()
        assert (of_each[SOME_ABSENT >= 0] > 0).all(), name
        assert of_each[SOME_ABSENT < 0].bool().tolist() == [name == "presence_logit"] * 2, name


def test_a_batch_without_any_digit_teaches_presence_alone(scenes: Tensor) -> None:
    output = pass_over(scenes)
    losses = compute_losses(output, scenes, torch.full((5,), -1), WEIGHTS, 1.0)
    losses.total.backward()
    assert losses.presence > 0
    torch.testing.assert_close(losses.total, 13 * losses.presence)
    others = [value for name, value in losses._asdict().items() if name not in ("total", "presence")]
    assert not any(others)
    for name, tensor in tensors_of(output).items():
        if tensor.grad is not None:
            assert tensor.grad.isfinite().all()
            assert bool(tensor.grad.any()) == (name == "presence_logit"), name


def test_the_box_is_fitted_to_the_picture_that_is_given_and_not_to_what_was_seen() -> None:
    """With clutter pasted beside the digit the terms ask for the digit's own edges, as without it."""
    plain = rectangle(40, 30, 20, 24)
    output = pass_over(plain)._replace(
        gaussian=Gaussian(
            *(part.requires_grad_() for part in gaussian_of_box(*map(numbers, (50, 42, 20, 24))))
        )
    )
    pasted = plain.clone()
    pasted[:, :, 34:50, 60:70] = 0.9  # touches the digit on its right
    labels = torch.tensor([0])
    before, seen = (compute_losses(output, picture, labels, WEIGHTS, 1.0) for picture in (plain, pasted))
    assert seen.foreground_retention > before.foreground_retention + 0.1
    torch.testing.assert_close(before.foreground_retention, tightness_losses(output.gaussian, plain)[1].sum())
    assert before.label == seen.label
