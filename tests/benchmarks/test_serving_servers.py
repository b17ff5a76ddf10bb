"""Whose processor time and memory is counted, and that nothing of a server outlives its visit."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from benchmarks.serving import running as running_module
from benchmarks.serving import standstill
from benchmarks.serving.accounting import MARK, cpu_seconds, cpu_spent, marked_processes, memory_bytes
from benchmarks.serving.contestants import CONTESTANTS, Variant
from benchmarks.serving.peers.onnx_model import Settings, read_settings
from benchmarks.serving.running import ServerError, running
from benchmarks.serving.wire import HOST, Posted

POSTED = Posted("/predict", {}, b"picture")

# A server, a child that burns and keeps 40 MB, and a grandchild that leaves the session and loses its parent.
SERVER = """
import http.server, os, subprocess, sys
burn = "x = bytearray(40 << 20)\\nwhile True: pass"
child = subprocess.Popen([sys.executable, "-c", burn])
lost = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
subprocess.run([sys.executable, "-c", lost + " start_new_session=True)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_all_of_a_server_is_counted_and_all_of_it_is_ended() -> None:
    with running([sys.executable, "-c", SERVER, "{port}"], {}, [POSTED]) as server:
        processes = server.processes()
        assert len(processes) == 3
        orphan = [process for process in processes if process.ppid() in {1, psutil.Process().pid}]
        assert orphan  # the grandchild belongs to it although its parent is gone
        before, began = cpu_seconds(processes), time.monotonic()
        time.sleep(1)
        spent, took = cpu_spent(before, cpu_seconds(server.processes())), time.monotonic() - began
        assert 0.1 < spent < 1.5 * took  # one process burns, as far as others leave it a core
        assert memory_bytes(processes) > 40 << 20
    # What lost its parent may wait for init to take note of its end.
    assert not [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    with socket.create_server((HOST, server.port)):  # the port is free again
        pass


def test_a_process_that_was_born_in_between_counts_from_its_birth() -> None:
    assert cpu_spent({1: 10.0, 2: 5.0}, {1: 10.5, 3: 0.25}) == pytest.approx(0.75)


def test_no_other_mark_is_taken() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command, env={**os.environ, MARK: "of-one-test"}) as process:
        try:
            deadline = time.monotonic() + 10  # its environment is the parent's until it has started
            while not (found := marked_processes("of-one-test")) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert [one.pid for one in found] == [process.pid]
            assert marked_processes("of-one") == []
        finally:
            process.kill()


def test_a_server_that_ends_says_what_it_said() -> None:
    program = "print('loading'); raise SystemExit('no such model')"
    with (
        pytest.raises(ServerError, match=r"it ended with 1: loading \| no such model"),
        running([sys.executable, "-c", program], {}, [POSTED]),
    ):
        pass


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "START_S", 0.3)
    with (
        pytest.raises(ServerError, match=r"no answer within .* it printed nothing"),
        running([sys.executable, "-c", "import time; time.sleep(600)"], {}, [POSTED]),
    ):
        pass


def test_a_standstill_of_the_machine_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.05, 0.12, 3.5, 3.55])
    done = threading.Event()

    def monotonic() -> float:
        try:
            return next(times)
        except StopIteration:
            done.set()
            return 3.6

    monkeypatch.setattr(standstill, "TICK_S", 0.001)
    monkeypatch.setattr(standstill, "time", SimpleNamespace(monotonic=monotonic))
    with standstill.StandstillWatch() as watch:
        assert done.wait(10)
    assert watch.gaps_s == [3.38]


def test_the_settings_reach_the_peer() -> None:
    peer = next(one for one in CONTESTANTS if one.name == "litserve")
    environment = peer.environment(Variant(2, 1, 16, 0.5), Path(sys.executable))
    assert read_settings({"PEER_PORT": "8001", **environment}) == Settings(8001, 2, 1, 16, 0.5)


def test_triton_finds_libpython() -> None:
    peer = next(one for one in CONTESTANTS if one.name == "pytriton")
    found = peer.environment(Variant(1, 1, 8, 0), Path(sys.executable))["LD_LIBRARY_PATH"]
    assert Path(found.split(":")[0]) == Path(sys.executable).resolve().parent.parent / "lib"


def test_every_peer_has_a_program_and_an_environment_of_its_own() -> None:
    peers = [one for one in CONTESTANTS if one.requirements is not None]
    assert [one.name for one in peers] == ["litserve", "bentoml", "ray", "mlserver", "pytriton"]
    for one in peers:
        assert (running_module.ROOT / Path(*one.command[1].split("."))).with_suffix(".py").is_file()
        assert len(one.variants) >= 3  # tuned, not taken as it comes
