"""Steps that are recorded as CUDA graphs do what the same steps do one by one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.trainer.tiny import TINY, bar_digits
from trainer.losses import Losses
from trainer.runtime.cuda_graph import CudaGraphCallable
from trainer.runtime.distributed import Processes
from trainer.training.step import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="only a CUDA GPU records steps")
STEPS = 10
RECIPE = dataclasses.replace(
    TINY,
    steps=STEPS,
    batch_size=64,
    ramp=(2, 8),
    without_digit=0.25,
    learning_rate=1e-4,
    muon_learning_rate=1e-3,
)
"""It learns slowly: atomic additions come in any order, and what that changes must stay small."""


def train(*, cuda_graphs: bool) -> tuple[list[Losses], torch.Tensor]:
    """The losses of all steps, and how far the averaged weights have moved in the end."""
    processes = Processes(0, 1, torch.device("cuda"))
    learner = Trainer(RECIPE, bar_digits(), seed=0, processes=processes, cuda_graphs=cuda_graphs)
    assert isinstance(learner._learn, CudaGraphCallable) == cuda_graphs

    def weights() -> torch.Tensor:
        return torch.cat([values.detach().flatten() for values in learner.averaged.parameters()])

    before = weights()
    losses = [Losses(*(value.clone() for value in learner.advance()[0])) for _ in range(STEPS)]
    return losses, weights() - before


def test_recorded_steps_are_the_same_steps() -> None:
    """Pace, ramp, windows, scenes and the average go on changing, although kernels alone are replayed."""
    (expected, change), (found, recorded_change) = train(cuda_graphs=False), train(cuda_graphs=True)
    for step, (one, other) in enumerate(zip(found, expected, strict=True)):
        for name, value in one._asdict().items():
            expected_value = getattr(other, name).item()
            assert value.item() == pytest.approx(expected_value, rel=0.02, abs=0.01), (step, name)
    assert len({round(losses.total.item(), 4) for losses in found}) == STEPS
    assert (recorded_change - change).norm() < 0.1 * change.norm()


def test_scenes_and_windows_are_the_same_recorded_or_not() -> None:
    """In six blocks of eight steps: the fourth is replayed, in the fifth the handwriting changes."""

    def make(*, cuda_graphs: bool) -> list[torch.Tensor]:
        recipe = dataclasses.replace(RECIPE, mixture={"article": 0.5, "cluttered-60": 0.5}, batch_size=2048)
        processes = Processes(0, 1, torch.device("cuda"))
        scenes = Trainer(recipe, bar_digits(), seed=0, processes=processes, cuda_graphs=cuda_graphs).scenes
        made = []
        for step in (0, 8, 17, 24, 39, 40):
            batch, windows = scenes.batch(step), scenes.windows(step)
            made.append(
                torch.cat([values.float().flatten() for values in (*batch, *windows[0], *windows[1])])
            )
        return made

    for found, expected in zip(make(cuda_graphs=True), make(cuda_graphs=False), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_nothing_in_a_step_waits_for_the_gpu() -> None:
    """Kernel by kernel, scenes included: what waits could not be recorded."""
    processes = Processes(0, 1, torch.device("cuda"))
    learner = Trainer(RECIPE, bar_digits(), seed=0, processes=processes, cuda_graphs=False)
    learner.advance()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(STEPS - 1):
            learner.advance()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_what_is_given_anew_counts_and_what_is_returned_is_overwritten() -> None:
    total = torch.zeros((), device="cuda")

    def add(values: tuple[torch.Tensor, None], factor: torch.Tensor) -> dict[str, torch.Tensor]:
        total.add_(values[0].sum() * factor)
        return {"total": total * 1}

    call = CudaGraphCallable(add)
    expected = 0.0
    for step in range(8):
        values = torch.full((3,), float(step), device="cuda")
        found = call((values, None), torch.full((), 2.0, device="cuda"))["total"]
        expected += 6.0 * step
        assert found.item() == expected
