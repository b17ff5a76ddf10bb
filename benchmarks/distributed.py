"""`python -m benchmarks.distributed`: two nodes train what one process trains, and survive what kills them.

Four runs of one short recipe with the same total batch, on the CPU:

- one process, and again with an older processor's instructions, whose sums have another order: that is how
  far rounding alone drives two runs apart;
- two nodes, each an agent of torchrun with one worker, both on this machine;
- two nodes of which first a worker and later a whole node is killed; the node is started again.

Writes `benchmarks/results/distributed.json` and `distributed.png`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from benchmarks.results import FOLDER, sentence_or_exit, write_result
from benchmarks.serving.accounting import MARK
from benchmarks.serving.running import free_ports
from benchmarks.torchrun import NODES, Node, nothing_left_behind
from scenes.mnist import load_digits
from trainer.checkpoint import load_checkpoint
from trainer.monitor import METRICS_NAME
from trainer.presets import TrainingPreset, find_training_preset
from trainer.train import train

STEPS, BATCH = 300, 32
_RUNNING = 20
"""How many steps the running loss is a mean of."""
_FIRST = 10
_WORKER_DIES, _NODE_DIES = 0.4, 0.8  # at these shares of the steps; checkpoints are at thirds
_OTHER_SUMS = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
_PATIENCE_S = 1800
_POLL_S = 0.1

Curve = npt.NDArray[np.float64]


@sentence_or_exit()
def main(arguments: list[str] | None = None) -> None:
    """Train the four runs, compare them, write the result file and the picture."""
    options = _parser().parse_args(arguments)
    recipe = short_recipe(options.steps)
    if options.into:
        train(recipe, options.into, device="cpu")
        return
    load_digits("train")
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory() as name, nothing_left_behind(mark):
        folder = Path(name)
        seconds, died = {}, {}
        for run, variables in (("alone", {}), ("rounding", _OTHER_SUMS)):
            began = time.perf_counter()
            _alone(folder / run, options.steps, mark, variables)
            seconds[run] = time.perf_counter() - began
        for run, kills in (("nodes", False), ("killed", True)):
            began = time.perf_counter()
            died[run] = _on_nodes(folder / run, options.steps, mark, kills=kills)
            seconds[run] = time.perf_counter() - began
        content = compare(folder, recipe, seconds, died["killed"])
        print(json.dumps(content, indent=2))
        if options.steps != STEPS:
            print("a trial: nothing is written")
            return
        draw(folder, FOLDER / "distributed.png")
    path = write_result("distributed", "python -m benchmarks.distributed", content, threads=1)
    print(f"wrote {path}")


def short_recipe(steps: int) -> TrainingPreset:
    """The `smoke` preset, so long that its losses fall, and with all of them written down."""
    return dataclasses.replace(
        find_training_preset("smoke"),
        name="distributed",
        steps=steps,
        batch_size=BATCH,
        ramp=(steps // 3, steps * 2 // 3),
        log_every=1,
        checkpoint_every=max(1, steps // 3),
    )


def compare(
    folder: Path, recipe: TrainingPreset, seconds: dict[str, float], died: dict[str, dict[str, int]]
) -> dict[str, Any]:
    """What the runs in a folder have in common, and how far they are apart."""
    alone, rounding, nodes = (folder / name for name in ("alone", "rounding", "nodes"))
    states = {name: load_checkpoint(folder / name) for name in ("nodes", "killed")}
    return {
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "nodes": {"processes": NODES, "scenes_of_each_batch": recipe.batch_size // NODES},
        "loss": {"first": round(_loss(alone)[0], 4), "running_at_the_end": round(_running(alone)[-1], 4)},
        "one_process_against_nodes": differences(alone, nodes),
        "one_process_against_one_with_other_sums": differences(alone, rounding),
        "validation_error": {
            name: _validation_error(folder / name) for name in ("alone", "rounding", "nodes", "killed")
        },
        "killed": {
            **died,
            "same_weights_as_unharmed": same_weights(states["nodes"], states["killed"]),
            "same_losses_as_unharmed": bool((_loss(nodes) == _loss(folder / "killed")).all()),
        },
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }


def differences(one: Path, other: Path) -> dict[str, float]:
    """The largest differences of two runs' losses: of single steps at the start, and of the running mean."""
    single, running = np.abs(_loss(one) - _loss(other)), np.abs(_running(one) - _running(other))
    return {
        f"of_one_step_in_the_first_{_FIRST}": float(f"{single[:_FIRST].max():.2g}"),
        f"of_the_mean_of_{_RUNNING}": float(f"{running.max():.2g}"),
        "of_that_mean_at_the_end": float(f"{running[-1]:.2g}"),
    }


def same_weights(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two checkpoints hold bitwise the same weights, averages and statistics."""
    return all(
        torch.equal(value, other[part][name])
        for part in ("model", "averaged")
        for name, value in one[part].items()
    )


def draw(folder: Path, path: Path) -> None:
    """The running losses on top of each other, and below how far apart they are."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    steps = np.arange(_RUNNING, len(_loss(folder / "alone")) + 1)
    alone = _running(folder / "alone")
    for name, style, title in (
        ("alone", "-", f"one process, batch {BATCH}"),
        ("nodes", "--", f"{NODES} nodes, {BATCH // NODES} scenes each"),
        ("killed", ":", f"{NODES} nodes, a worker and a node killed"),
    ):
        above.plot(
            steps, _running(folder / name), style, label=title, linewidth=3 if name == "alone" else 1.5
        )
    for name, title in (("nodes", f"{NODES} nodes"), ("rounding", "one process with another order of sums")):
        below.semilogy(steps, np.maximum(np.abs(_running(folder / name) - alone), 1e-7), label=title)
    above.set(ylabel=f"loss, mean of {_RUNNING} steps")
    below.set(xlabel="step", ylabel="difference")
    for axes in (above, below):
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _alone(run: Path, steps: int, mark: str, variables: dict[str, str]) -> None:
    print(f"one process {variables or ''}", flush=True)
    subprocess.run(
        [sys.executable, "-m", *_arguments(run, steps)],
        env={**os.environ, MARK: mark, "OMP_NUM_THREADS": "1", **variables},
        check=True,
        timeout=_PATIENCE_S,
    )


def _on_nodes(run: Path, steps: int, mark: str, *, kills: bool) -> dict[str, dict[str, int]]:
    """Train on two nodes; with `kills`, kill a worker and later a node. Returns when what was lost."""
    print(f"{NODES} nodes{', of which some are killed' if kills else ''}", flush=True)
    (port,) = free_ports(1)
    deadline = time.monotonic() + _PATIENCE_S

    def start(number: int) -> Node:
        return Node(_arguments(run, steps), port=port, log=run.with_suffix(f".{number}.log"), mark=mark)

    def lose(step: int, kill: Callable[[], None]) -> dict[str, int]:
        while _told(run) < step:
            _check_all(nodes, deadline)
        kill()
        return {"at_step": _told(run), "went_on_from_step": int(load_checkpoint(run)["step"])}

    nodes = [start(0)]
    while not _listens(port):  # whoever comes first keeps the rendezvous, and must not die below
        _check_all(nodes, deadline)
    nodes.append(start(1))
    died = {}
    if kills:
        died["worker"] = lose(round(_WORKER_DIES * steps), nodes[1].kill_worker)
        died["node"] = lose(round(_NODE_DIES * steps), nodes[1].kill)
        nodes[1] = start(2)
    while any(node.running() for node in nodes):
        _check_all(nodes, deadline)
    return died


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _check_all(nodes: list[Node], deadline: float) -> None:
    """Wait a little; RuntimeError if a node ended badly, TimeoutError if all of it takes too long."""
    for node in nodes:
        node.running()
    if time.monotonic() > deadline:
        raise TimeoutError(f"the nodes: expected an end within {_PATIENCE_S} s")
    time.sleep(_POLL_S)


def _arguments(run: Path, steps: int) -> list[str]:
    return ["benchmarks.distributed", "--steps", str(steps), "--into", str(run)]


def _lines(run: Path) -> list[dict[str, float]]:
    """What a run has written so far; a line that is being written is left out."""
    path = run / METRICS_NAME
    if not path.is_file():
        return []
    return [
        json.loads(line)
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
        if line[-1:] == "\n"
    ]


def _told(run: Path) -> int:
    return max((int(line["step"]) for line in _lines(run)), default=0)


def _loss(run: Path) -> Curve:
    return np.array([line["total"] for line in _lines(run) if "total" in line])


def _running(run: Path) -> Curve:
    return np.convolve(_loss(run), np.full(_RUNNING, 1 / _RUNNING), mode="valid")


def _validation_error(run: Path) -> dict[str, float]:
    last = [line for line in _lines(run) if any(name.startswith("validation_error") for name in line)][-1]
    return {name.rpartition("/")[2]: value for name, value in last.items() if name != "step"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distributed", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="fewer make a trial, which writes nothing")
    parser.add_argument("--into", type=Path, help="be one process of a run that trains into this folder")
    return parser


if __name__ == "__main__":
    main()
