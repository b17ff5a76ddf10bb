"""Batch normalisation over the whole batch when several processes share it.

With its own statistics, each process would train a different network than one process with the whole batch:
twice 16 scenes are noisier than 32. `nn.SyncBatchNorm` does the same, but on CUDA alone.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.runtime.distributed import Processes


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation with the statistics of all processes, whose shares of the batch are equal.

    Its parameters and buffers have the names of the layer that it replaces.
    """

    def __init__(self, layer: _BatchNorm, processes: Processes) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self._rank, self._world = processes.rank, processes.world
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(self, name, getattr(layer, name))

    def forward(self, input: Tensor) -> Tensor:
        """`[share of the batch, channels, …]` to the same shape, as the layer does for the whole batch."""
        if not self.training:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        exact = input.to(torch.promote_types(input.dtype, torch.float32))
        others = [dim for dim in range(input.ndim) if dim != 1]
        variance, mean = torch.var_mean(exact, dim=others, correction=0)  # [channels] each
        mean, variance = self._of_whole_batch(mean, variance)
        self._remember(mean.detach(), variance.detach(), self._world * input.numel() // input.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shape = [-1 if dim == 1 else 1 for dim in range(input.ndim)]
        out = (exact - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _of_whole_batch(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of all shares together (Chan et al. 1979, of equal shares).

        The mean of squares would lose precision where the mean is large. Each process fills its own row of a
        table of zeros; the sum over processes is the whole table.
        """
        row = torch.stack([mean, variance])[None]
        table = functional.pad(row, (0, 0, 0, 0, self._rank, self._world - 1 - self._rank))
        means, variances = _Sum.apply(table).unbind(1)  # type: ignore[no-untyped-call]  # [world, channels]
        whole = means.mean(0)
        return whole, (variances + (means - whole).square()).mean(0)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Take the batch into the running statistics, the variance as of a sample of `count`."""
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def share_normalisation(model: nn.Module, processes: Processes) -> None:
    """Replace each batch normalisation by a `SharedBatchNorm`, in place; does nothing for one process."""
    if processes.world == 1:
        return
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, _BatchNorm):
                setattr(parent, name, SharedBatchNorm(layer, processes))


class _Sum(torch.autograd.Function):
    """The sum over processes; backwards likewise, since each process's losses depend on it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        del ctx
        return _sum_over_processes(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        del ctx
        return _sum_over_processes(gradient)


def _sum_over_processes(values: Tensor) -> Tensor:
    total = values.clone()
    torch.distributed.all_reduce(total)
    return total
