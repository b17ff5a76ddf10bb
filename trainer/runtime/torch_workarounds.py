"""What torch does not do, or does wrongly, in the version that is used here."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store

_LATEST = timedelta(minutes=10)
"""How much later than the first process the last one may start."""
_POLL_S = 0.05


def use_channels_last(module: nn.Module) -> None:
    """Lay a module's kernels out as channels_last, in place; torch's types do not know this call."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def backward(loss: Tensor) -> None:
    """Compute the gradients of a loss; torch's own method has no types."""
    loss.backward()  # type: ignore[no-untyped-call]


def set_capturable(optimiser: torch.optim.Optimizer, on_gpu: bool) -> None:
    """Say where an optimiser's state is, after loading a state that may come from another device."""
    for group in optimiser.param_groups:
        group["capturable"] = on_gpu


def agree_on_a_name(store: Store, rank: int, world: int) -> str:
    """A name that all processes of this start share, and no former start had.

    torchrun keeps one store over all restarts. What killed processes left in it (gloo's addresses, NCCL's
    ids) would be used again, and a restarted group would wait for dead processes for half an hour
    (pytorch/pytorch#135712, again in 2.13). torchrun gives its processes no value that is the same in one
    start and new in the next. So the first process makes up a name, and the others use it once the first has
    confirmed each of them.
    """
    mine = uuid.uuid4().hex
    if rank == 0:
        store.set("first", mine)
        others = [f"{mine}/{other}" for other in range(1, world)]
        store.wait(others, _LATEST)
        store.set(f"{mine}/all", " ".join(store.get(other).decode() for other in others))
        return mine
    while True:
        name = store.get("first").decode()  # may still be that of a former start
        store.set(f"{name}/{rank}", mine)
        if store.check([f"{name}/all"]) and mine in store.get(f"{name}/all").decode():
            return name
        time.sleep(_POLL_S)
