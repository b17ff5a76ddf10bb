"""The service on a Ray cluster, as a client and a load balancer see it."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import psutil
import yaml

from benchmarks.serving.running import ROOT, free_ports
from tests.ray.nodes import SERVE, Node, Nodes

StartNodes = Callable[..., Nodes]
READY_S = 300.0  # CI's cores may be busy; nothing here waits longer than it has to
PNG = {"Content-Type": "image/png"}
REPLICA = "ray::ServeReplica:glimpse:glimpse"


class Answer(NamedTuple):
    """What came of a request; status 0 where the connection broke, with the error as the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Served(NamedTuple):
    """The service, asked through the head's proxy, and what probes heard until it was ready."""

    nodes: Nodes
    port: int
    driver: subprocess.Popen[bytes]
    before: list[dict[str, int]]

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, repr(error).encode())
        finally:
            connection.close()

    def post(self, path: str, png: bytes) -> Answer:
        return self.ask("POST", path, png, **PNG)

    def probes(self) -> dict[str, int]:
        return {path: self.ask("GET", path).status for path in ("/readyz", "/-/healthz")}

    def wait(self, what: str, truth: Callable[[], bool], most_s: float = READY_S) -> None:
        until = monotonic() + most_s
        while not truth():
            assert monotonic() < until, f"not {what} after {most_s:g} s: {self.probes()}\n{self.nodes.logs()}"
            sleep(0.2)

    def replica_processes(self) -> list[psutil.Process]:
        """The processes of replicas, those that do not answer as yet included."""
        return [process for node in self.nodes.all for process in processes_titled(node, REPLICA)]

    def replicas(self) -> set[int]:
        """The process ids of the replicas that answer: one of them at a time says when it was started.

        That is told in hundredths of a second, in which two may start: both count then.
        """
        asked = [self.ask("GET", "/metrics").body.decode() for _ in range(12)]
        answering = {
            float(line.split()[1])
            for metrics in asked
            for line in metrics.splitlines()
            if line.startswith("process_start_time_seconds ")
        }
        found = set()
        for process in self.replica_processes():
            with suppress(psutil.NoSuchProcess):
                if any(_same_start(process.create_time(), start) for start in answering):
                    found.add(process.pid)
        return found


def processes_titled(node: Node, title: str) -> list[psutil.Process]:
    """Those of a node whose title begins like this."""
    found = []
    for process in node.processes():
        with suppress(psutil.NoSuchProcess):
            if "".join(process.cmdline()[:1]).startswith(title):
                found.append(process)
    return found


def _same_start(one: float, other: float) -> bool:
    """Both count from the machine's boot, which each reader rounds to a whole second of its own."""
    apart_s = abs(one - other)
    return apart_s < 1.5 and abs(apart_s - round(apart_s)) < 0.005


@contextmanager
def serving(nodes: Nodes, config_path: Path, folder: Path) -> Iterator[Served]:
    """The service as `serve run` starts it with a file; only the address is another one.

    Args:
        nodes: the cluster.
        config_path: the file.
        folder: a place for what is written.
    """
    config = yaml.safe_load(config_path.read_text())
    config["http_options"] |= {"host": "127.0.0.1", "port": free_ports(1)[0]}
    (folder / "serve.yaml").write_text(yaml.safe_dump(config))
    with (folder / "said").open("wb") as out:
        driver = subprocess.Popen(
            [SERVE, "run", folder / "serve.yaml"],
            cwd=ROOT,
            env=nodes.env,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        served = Served(nodes, config["http_options"]["port"], driver, [])
        while not served.before or set(served.before[-1].values()) != {200}:
            assert driver.poll() is None, (folder / "said").read_text()
            assert len(served.before) < READY_S / 0.2, nodes.logs()
            served.before.append(served.probes())
            sleep(0.2)
        yield served
    finally:
        driver.kill()
        driver.wait()
