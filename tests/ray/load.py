"""Clients that ask again as soon as they are answered, each over a connection that it keeps."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

PROBE_S = 0.5


class Load:
    """Posts of pictures to `/predict`, and what became of them; made by `loaded`.

    `statuses` counts the answers; `wrong` are those that are neither the expected one nor a refusal that says
    when to come again; `unready` is what probes heard but 200.
    """

    def __init__(self, port: int, expected: Sequence[tuple[bytes, dict[str, Any]]]) -> None:
        """Take the port, and pictures with what has to be said of them: `label` and `bbox`."""
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.unready: list[str] = []
        self._port = port
        self._expected = expected
        self._over = threading.Event()

    def run(self, seconds: float, probe: Callable[[], dict[str, int]] | None = None) -> None:
        """Go on for a while, and listen to the probes meanwhile."""
        until = monotonic() + seconds
        while monotonic() < until:
            if probe is not None and set((heard := probe()).values()) != {200}:
                self.unready.append(str(heard))
            sleep(PROBE_S)

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def ask_on(self, number: int) -> None:
        """One client's life."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        while not self._over.is_set():
            number = (number + 1) % len(self._expected)
            png, expected = self._expected[number]
            try:
                connection.request("POST", "/predict?maps=none", png, {"Content-Type": "image/png"})
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.statuses[0] += 1
                self.wrong.append(repr(error))
                connection.close()
                continue
            self.statuses[response.status] += 1
            if response.status == 200:
                answer = json.loads(body)
                if any(answer[name] != value for name, value in expected.items()):
                    self.wrong.append(f"{answer}, expected {expected}")
            elif response.status != 503 or not response.headers["Retry-After"]:
                self.wrong.append(f"{response.status} {body.decode(errors='replace')}")
            else:
                sleep(0.1)
        connection.close()


@contextmanager
def loaded(port: int, expected: Sequence[tuple[bytes, dict[str, Any]]], clients: int) -> Iterator[Load]:
    """Clients that ask until the end of the block, and then wait for their last answers."""
    load = Load(port, expected)
    threads = [threading.Thread(target=load.ask_on, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop()
        for thread in threads:
            thread.join()
