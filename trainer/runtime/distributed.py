"""The processes that train together: one, or those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from trainer.runtime.torch_workarounds import agree_on_a_name


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
        """Each value's mean over all processes. All must call this, with the same names."""
        if self.world == 1:
            return dict(values)
        table = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(table)
        return dict(zip(values, (table / self.world).tolist(), strict=True))

    def gather(self, number: int) -> list[int]:
        """Each process's number, in the order of their ranks. All must call this."""
        if self.world == 1:
            return [number]
        table = torch.zeros(self.world, dtype=torch.int64, device=self.device)
        table[self.rank] = number
        torch.distributed.all_reduce(table)
        return [int(each) for each in table.tolist()]


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, over NCCL on CUDA and gloo on the CPU; or be the only one.

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
