"""The processes that train together: one, or those that torchrun started."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

_LATEST = timedelta(minutes=10)
"""How much later than the first process the last one may start."""
_POLL_S = 0.05


@dataclass(frozen=True)
class Processes:
    """This process's place among `world` processes and the device that it computes on."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def average(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value's mean over all processes, which must all ask for it, with the same names."""
        if self.world == 1:
            return dict(values)
        table = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(table)
        return dict(zip(values, (table / self.world).tolist(), strict=True))

    def gather(self, number: int) -> list[int]:
        """Each process's number, in the order of their ranks; all must ask for it."""
        if self.world == 1:
            return [number]
        table = torch.zeros(self.world, dtype=torch.int64, device=self.device)
        table[self.rank] = number
        torch.distributed.all_reduce(table)
        return [int(each) for each in table.tolist()]


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, over NCCL on CUDA and gloo on the CPU, or stand alone.

    Args:
        device: "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ValueError: CUDA was asked for and there is none, or the device has no such name.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: expected auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: expected a CUDA device, but torch finds none here; use auto or cpu")
    kind = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(0, 1, torch.device(kind))
        return
    place = torch.device(kind, int(os.environ["LOCAL_RANK"])) if kind == "cuda" else torch.device(kind)
    store, rank, world = next(rendezvous("env://"))
    torch.distributed.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        store=PrefixStore(agree_on_a_name(store, rank, world), store),
        rank=rank,
        world_size=world,
    )
    try:
        yield Processes(rank, world, place)
    finally:
        torch.distributed.destroy_process_group()


def agree_on_a_name(store: Store, rank: int, world: int) -> str:
    """A name that all processes of this start have and those of no former one.

    torchrun keeps one store over all its restarts, and what killed processes left there (gloo's addresses,
    NCCL's ids) would be taken for that of the living: a restarted group would wait for the dead for half an
    hour (pytorch/pytorch#135712, again so in 2.13). It tells its processes nothing that is the same for all
    of one start and new with each. So the first one makes up a name, and the others take it once it has
    answered them in person.
    """
    mine = uuid.uuid4().hex
    if rank == 0:
        store.set("first", mine)
        others = [f"{mine}/{other}" for other in range(1, world)]
        store.wait(others, _LATEST)
        store.set(f"{mine}/all", " ".join(store.get(other).decode() for other in others))
        return mine
    while True:
        name = store.get("first").decode()  # maybe still that of a former start
        store.set(f"{name}/{rank}", mine)
        if store.check([f"{name}/all"]) and mine in store.get(f"{name}/all").decode():
            return name
        time.sleep(_POLL_S)
