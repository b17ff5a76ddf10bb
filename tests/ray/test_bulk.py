"""`python -m service bulk --ray` on a real cluster of two nodes: the local run's table, whatever dies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from benchmarks.serving.running import ROOT, free_ports
from service.bulk import command
from service.bulk.journal import FILES_PER_PART, folder_of
from tests.ray.nodes import Node, Nodes
from tests.ray.served import StartNodes
from tests.service.bulk_runs import picture, read_table
from tests.service.fakes import centroid_graph, write_model

pytestmark = pytest.mark.slow  # they start clusters

PARTS = 16
TIMEOUT_S = 240.0  # CI's cores may be busy; nothing here waits longer than it has to


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many files that are few pictures, and three that none can read."""
    folder = tmp_path_factory.mktemp("ray") / "scenes"
    folder.mkdir()
    pictures = [folder / f"{number:05}.png" for number in range(20)]
    for number, path in enumerate(pictures):
        path.write_bytes(picture(number * 15, width=80 + number, height=90 - number))
    for number in range(len(pictures), PARTS * FILES_PER_PART - 3):
        (folder / f"{number:05}.png").hardlink_to(pictures[number * 7 % len(pictures)])
    (folder / "00300-cut.png").write_bytes(picture(1)[:-30])
    (folder / "02000-text.png").write_bytes(b"hello")
    (folder / "03000-lost.png").symlink_to(folder / "nowhere")
    return folder


@pytest.fixture(scope="module")
def model(scenes: Path) -> Path:
    return write_model(scenes.with_name("centroid.onnx"), centroid_graph())


@pytest.fixture(scope="module")
def expected(scenes: Path, model: Path) -> bytes:
    """The table of the run without Ray."""
    out = scenes.with_name("local.jsonl")
    arguments = [str(scenes), "--out", str(out), "--model", str(model), "--provider", "cpu"]
    assert command.main(arguments) == command.SOME_UNREADABLE
    rows = read_table(out)
    assert [row["path"] for row in rows] == sorted(map(str, scenes.iterdir()))
    errors = [Path(row["path"]).name for row in rows if row["error"]]
    assert errors == ["00300-cut.png", "02000-text.png", "03000-lost.png"]
    return out.read_bytes()


@pytest.fixture(scope="module")
def nodes(start_nodes: StartNodes) -> Nodes:
    return start_nodes(1, 1)


class Run:
    """The command with `--ray` as a process of its own."""

    def __init__(self, nodes: Nodes, out: Path, process: subprocess.Popen[bytes]) -> None:
        self._nodes, self._out = nodes, out
        self.process = process

    def said(self) -> str:
        return self._out.with_suffix(".log").read_text(errors="replace")

    def kept(self) -> int:
        """How many parts are kept."""
        return len(list(folder_of(self._out).glob("*.jsonl")))

    def wait(self, what: str, truth: Callable[[], bool]) -> None:
        until = monotonic() + TIMEOUT_S
        while not truth():
            assert monotonic() < until, f"not {what}:\n{self.said()}\n{self._nodes.logs()}"
            sleep(0.02)

    def wait_while_it_runs(self, what: str, truth: Callable[[], bool]) -> None:
        self.wait(what, lambda: truth() or self.process.poll() is not None)
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.said()}"

    def end(self) -> int:
        self.wait("ended", lambda: self.process.poll() is not None)
        return self.process.wait()

    @contextmanager
    def with_work_on(self, node: Node, other: Node) -> Iterator[None]:
        """Have both nodes hold parts to do, and some kept that `node` has made; `other` rests meanwhile."""
        resting: list[psutil.Process] = []

        def rests() -> bool:
            if not resting:
                resting.extend(workers(other))
                for worker in resting:
                    worker.suspend()
            return bool(resting) and bool(workers(node))

        try:
            self.wait_while_it_runs("at work on both nodes", rests)
            before = self.kept()
            self.wait_while_it_runs(f"at work on {node.host}", lambda: self.kept() >= before + 2)
            yield
        finally:
            for worker in resting:
                with suppress(psutil.NoSuchProcess):
                    worker.resume()


def workers(node: Node) -> list[psutil.Process]:
    """The processes of a node that make rows."""
    found = []
    for process in node.processes():
        with suppress(psutil.Error):
            if "MapWorker" in "".join(process.cmdline()[:1]):
                found.append(process)
    return found


@contextmanager
def begun(nodes: Nodes, scenes: Path, out: Path, model: Path, address: str = "") -> Iterator[Run]:
    """The command, which does not outlive the test."""
    line = [sys.executable, "-m", "service", "bulk", str(scenes), "--out", str(out), "--model", str(model)]
    environment = {name: value for name, value in nodes.env.items() if not name.startswith("GLIMPSE_")}
    with out.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            [*line, "--progress", "--ray", address or nodes.address],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Run(nodes, out, process)
        finally:
            process.kill()
            process.wait()


def test_where_no_cluster_answers_that_is_said(
    nodes: Nodes, scenes: Path, model: Path, tmp_path: Path
) -> None:
    out, address = tmp_path / "out.jsonl", f"127.0.0.1:{free_ports(1)[0]}"
    with begun(nodes, scenes, out, model, address) as run:
        assert run.end() == command.FAILED
    assert f"{out} is not made: no Ray cluster can be joined at {address}: " in run.said()
    assert [path.name for path in tmp_path.iterdir()] == ["out.log"]


def test_the_driver_killed_under_way_goes_on(
    nodes: Nodes, scenes: Path, model: Path, expected: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    head, other = nodes.all
    with begun(nodes, scenes, out, model) as run, run.with_work_on(head, other):
        run.process.kill()
        run.process.wait()
        kept = run.kept()
    assert 2 <= kept < PARTS
    assert not out.exists()
    with begun(nodes, scenes, out, model) as run:
        assert run.end() == command.SOME_UNREADABLE, run.said()
    assert f"Going on: {kept * FILES_PER_PART:,} of {PARTS * FILES_PER_PART:,} files are done." in run.said()
    assert out.read_bytes() == expected
    assert not folder_of(out).exists()


def test_a_node_killed_under_way_loses_and_repeats_nothing(
    nodes: Nodes, scenes: Path, model: Path, expected: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    head, other = nodes.all
    with begun(nodes, scenes, out, model) as run:
        with run.with_work_on(other, head):
            other.kill()
            assert run.kept() < PARTS
        assert run.end() == command.SOME_UNREADABLE, run.said()
    assert out.read_bytes() == expected
    assert f"{out}: {PARTS * FILES_PER_PART:,} files, 3 of them could not be read" in run.said()
