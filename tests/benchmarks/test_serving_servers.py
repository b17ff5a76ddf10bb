"""Whose processor time and memory is counted, and that nothing of a server outlives its visit."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.serving import running as running_module
from benchmarks.serving.accounting import MARK, cpu_seconds, cpu_spent, marked_processes, memory_bytes
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
