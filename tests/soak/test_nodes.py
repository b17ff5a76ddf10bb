"""Two nodes train what one process trains, and survive what kills them; with `-m soak`.

Each node is an agent of torchrun with one worker, both on this machine, on the CPU. In one of the runs first
a worker and later a whole node is killed; the node is started again. `docs/decisions/two-nodes.md` has
figures of such a run.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.serving.running import free_ports
from scenes.digits import Digits
from tests.soak.torchrun import Node, nothing_left_behind
from trainer.training.checkpoint import load_checkpoint
from trainer.training.monitor import METRICS_NAME

STEPS = 300
_WORKER_DIES, _NODE_DIES = 0.4, 0.8  # at these shares of the steps; checkpoints are at thirds
_FIRST, _FIRST_APART = 10, 0.01
"""By how much losses of about 4 may differ by rounding in the first steps; later rounding grows."""
_RUN_TAKES_S = 1800
_POLL_S = 0.1


@pytest.mark.soak
def test_two_nodes_train_as_one_process_and_go_on_where_one_was_killed(
    train_digits: Digits, tmp_path: Path
) -> None:
    mark = uuid.uuid4().hex
    with nothing_left_behind(mark):
        alone = tmp_path / "alone"
        command = [sys.executable, "-m", *arguments(alone)]
        subprocess.run(command, check=True, timeout=_RUN_TAKES_S)
        on_nodes(tmp_path / "nodes", mark)
        died = on_nodes(tmp_path / "killed", mark, kills=True)
    nodes, killed = tmp_path / "nodes", tmp_path / "killed"
    apart = np.abs(losses(alone) - losses(nodes))[:_FIRST]
    assert apart.max() < _FIRST_APART
    assert died["worker"]["went_on_from_step"] == STEPS // 3
    assert died["node"]["went_on_from_step"] == 2 * (STEPS // 3)
    assert (losses(nodes) == losses(killed)).all()
    assert same_weights(load_checkpoint(nodes), load_checkpoint(killed))


def same_weights(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two checkpoints hold bitwise the same weights, averages and statistics."""
    return all(
        torch.equal(value, other[part][name])
        for part in ("model", "averaged")
        for name, value in one[part].items()
    )


def on_nodes(run: Path, mark: str, *, kills: bool = False) -> dict[str, dict[str, int]]:
    """Train on two nodes; with `kills`, kill a worker and later a node. Returns when what was lost."""
    (port,) = free_ports(1)
    deadline = time.monotonic() + _RUN_TAKES_S

    def start(number: int) -> Node:
        return Node(arguments(run), port=port, log=run.with_suffix(f".{number}.log"), mark=mark)

    def lose(step: int, kill: Callable[[], None]) -> dict[str, int]:
        while last_step(run) < step:
            check_all(nodes, deadline)
        kill()
        return {"at_step": last_step(run), "went_on_from_step": int(load_checkpoint(run)["step"])}

    nodes = [start(0)]
    while not listens(port):  # whoever comes first keeps the rendezvous, and must not die below
        check_all(nodes, deadline)
    nodes.append(start(1))
    died = {}
    if kills:
        died["worker"] = lose(round(_WORKER_DIES * STEPS), nodes[1].kill_worker)
        died["node"] = lose(round(_NODE_DIES * STEPS), nodes[1].kill)
        nodes[1] = start(2)
    while any(node.running() for node in nodes):
        check_all(nodes, deadline)
    return died


def arguments(run: Path) -> list[str]:
    return ["tests.soak.short_run", str(run), str(STEPS)]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_all(nodes: list[Node], deadline: float) -> None:
    """Wait a little; RuntimeError if a node ended badly, TimeoutError if all of it takes too long."""
    for node in nodes:
        node.running()
    if time.monotonic() > deadline:
        raise TimeoutError(f"the nodes: expected an end within {_RUN_TAKES_S} s")
    time.sleep(_POLL_S)


def written(run: Path) -> list[dict[str, float]]:
    """What a run has written so far; a line that is being written is left out."""
    path = run / METRICS_NAME
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def last_step(run: Path) -> int:
    return max((int(line["step"]) for line in written(run)), default=0)


def losses(run: Path) -> npt.NDArray[np.float64]:
    return np.array([line["total"] for line in written(run) if "total" in line])
