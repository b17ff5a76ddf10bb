"""A real Ray cluster on this machine: each node its own raylet and workers, its own loopback address."""

from __future__ import annotations

import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import psutil

from benchmarks.serving.running import ROOT, free_ports

# Programs of the environment that runs this, so that nothing has to be on PATH.
RAY = Path(sys.executable).with_name("ray")
SERVE = Path(sys.executable).with_name("serve")
_STORE_BYTES = 80 * 1024 * 1024  # Ray refuses less than 75 MiB
_START_S = 120.0
_TRIES = 3
_RUNS = "block forever"  # what `ray start --block` says at last


class NodesError(RuntimeError):
    """A node does not start, or cannot be killed."""


class Node(NamedTuple):
    """A node of the cluster.

    `host` is its address, 127.0.0.2 for the head, 127.0.0.3 for the next; `session` is the id of the session
    of all its processes, which stays theirs when their parents die.
    """

    host: str
    session: int
    starter: subprocess.Popen[bytes]

    def processes(self) -> list[psutil.Process]:
        """What runs of it, the dead that nobody has buried left out."""
        return _processes(self.session)

    def kill(self) -> None:
        """End it as a power cut would: nothing is told, nothing is flushed."""
        _end(self.processes)
        assert self.starter.stdin is not None
        self.starter.stdin.close()
        self.starter.wait()


class Nodes:
    """A cluster; made by `started`. Its nodes end with it, whatever happens."""

    def __init__(self, folder: Path, *, dashboard: bool, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._dashboard = dashboard
        self._made = self._tries = 0
        self.all: list[Node] = []
        self.port, self.dashboard_port, self._client_port = free_ports(3)
        self.address = f"{_host(1)}:{self.port}"
        self.env = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(),
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # 15 by default: on a busy machine they would starve
            # A killed node is told dead after 3 s, by default after 15; a slow one still has 10 s to answer.
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
            **env,
        }
        """For drivers: `ray.init()` and Ray's own programs find this cluster with it, and no other."""

    @property
    def head(self) -> Node:
        """The node with the cluster's own state; the cluster ends with it."""
        return self.all[0]

    def add(self, cpus: int, gpus: int = 0) -> Node:
        """Start a node; the first is the head.

        Args:
            cpus: CPUs that Ray may give away there: a number for its book-keeping, not real cores.
            gpus: GPUs, likewise.

        Raises:
            NodesError: it does not start; with what Ray said.
        """
        self._made += 1
        said = ""
        for _ in range(_TRIES):
            node, log = self._start(_host(self._made), [f"--num-cpus={cpus}", f"--num-gpus={gpus}"])
            until = monotonic() + _START_S
            while node.starter.poll() is None and monotonic() < until:
                said = log.read_text(errors="replace")
                if _RUNS in said:
                    return node
                sleep(0.1)
            node.kill()  # Ray gives a node half a minute to start, and a busy machine may need more
            self.all.remove(node)
        raise NodesError(f"a Ray node does not start:\n{said}")

    def said(self, words: str) -> bool:
        """Whether any process of the cluster has written these words."""
        return any(words in log.read_text(errors="replace") for log in self._logs())

    def logs(self) -> str:
        """The ends of all that Ray wrote, to show where something fails."""
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in self._logs())

    def close(self) -> None:
        """End all nodes, the head first, so that it does not mourn the others; leave nothing behind."""
        for node in self.all:
            node.kill()
        shutil.rmtree(self._folder)

    def _logs(self) -> list[Path]:
        written = sorted(self._folder.glob("*/session_*/logs/**/*.*"))
        return [log for log in written if log.suffix in {".err", ".log"} and not log.is_symlink()]

    def _start(self, host: str, resources: list[str]) -> tuple[Node, Path]:
        """A node that is starting, and where it writes how it goes."""
        self._tries += 1
        folder = self._folder / str(self._tries)  # short: a socket's path may measure 107 bytes
        folder.mkdir()
        log = folder / "start.log"
        with log.open("wb") as out:
            starter = subprocess.Popen(
                [sys.executable, __file__, self._folder, *self._command(host, folder), *resources],
                env=self.env,
                stdin=subprocess.PIPE,  # it breaks when this process ends, whatever ends it
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        node = Node(host, starter.pid, starter)
        self.all.append(node)
        return node, log

    def _command(self, host: str, folder: Path) -> list[str]:
        command = [str(RAY), "start", "--block", "--no-monitor", "--include-log-monitor=false"]
        command += [f"--node-ip-address={host}", f"--temp-dir={folder}"]
        # On the disk: a container's /dev/shm is 64 MiB by default.
        command += [f"--object-store-memory={_STORE_BYTES}", f"--plasma-directory={folder}"]
        command += ["--dashboard-agent-listen-port=0"]
        if self.all:
            return [*command, f"--address={self.address}"]
        command += ["--head", f"--port={self.port}", f"--ray-client-server-port={self._client_port}"]
        command += [f"--include-dashboard={str(self._dashboard).lower()}"]
        return [*command, f"--dashboard-port={self.dashboard_port}"]


@contextmanager
def started(
    *cpus: int, gpus: int = 0, dashboard: bool = False, env: Mapping[str, str] | None = None
) -> Iterator[Nodes]:
    """A cluster with a node for each number of CPUs, the head first.

    Args:
        cpus: what Ray may give away on each node.
        gpus: likewise, on each; nothing is looked for.
        dashboard: with Ray's HTTP interface on `dashboard_port`, which `serve deploy` wants.
        env: environment variables of all nodes and drivers.
    """
    folder = Path(tempfile.mkdtemp(prefix="glimpse-ray", dir="/tmp"))
    nodes = Nodes(folder, dashboard=dashboard, env=env or {})
    try:
        for count in cpus:
            nodes.add(count, gpus)
        yield nodes
    finally:
        nodes.close()


def _host(number: int) -> str:
    """A loopback address of its own; not 127.0.0.1, which Ray turns into one that the network sees."""
    return f"127.0.0.{number + 1}"


def _processes(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _end(processes: Callable[[], list[psutil.Process]]) -> None:
    """Kill processes until there are none."""
    frozen: set[psutil.Process] = set()
    # First all stand still, so that none starts another or mourns one in between.
    while new := set(processes()) - frozen:
        for process in new:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        frozen |= new
    until = monotonic() + 30
    while left := processes():
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if monotonic() > until:
            raise NodesError(f"SIGKILL does not end {left}")
        sleep(0.02)


def _keep(folder: str, command: list[str]) -> int:
    """Run a node until it ends, or until whoever started it has gone; then nothing of it is left."""
    node = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while not (select.select([0], [], [], 0.5)[0] and not os.read(0, 1)):
        if node.poll() is not None:
            return node.returncode
    _end(lambda: [process for process in _processes(os.getsid(0)) if process.pid != os.getpid()])
    shutil.rmtree(folder, ignore_errors=True)  # another node may be at it as well
    return 1


if __name__ == "__main__":
    sys.exit(_keep(sys.argv[1], sys.argv[2:]))
