"""A real service and a real browser, for the page's benchmark, its pictures and its tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright

ROOT = Path(__file__).resolve().parent.parent
NO_BROWSER = "no Chromium is at hand: install Debian's package chromium, or put one on PATH"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No GPU, and nothing that a browser asks of the network by itself. No sandbox, since containers lack what it
# needs; our own page is all that is shown here.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    """The path of the system's Chromium; Playwright's own download is not wanted."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium.

    Raises:
        RuntimeError: there is none.
    """
    path = find_chromium()
    if path is None:
        raise RuntimeError(NO_BROWSER)
    return playwright.chromium.launch(executable_path=path, args=list(_FLAGS))


@contextmanager
def serving(port: int = 0, **settings: str) -> Iterator[str]:
    """A service in a process of its own, on the CPU with the committed model; gives its address.

    Args:
        port: where to listen, 0 for any free port.
        settings: environment variables beside those that this process has.

    Raises:
        RuntimeError: it does not start; it has said why on stderr.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "GLIMPSE_PROVIDER": "cpu", **settings},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()  # returns at the line or at the process's end
        found = re.match(r"Glimpse listens on (\S+) ", greeting)
        if found is None:
            raise RuntimeError(f"the service did not start; it said {greeting!r}")
        yield found[1]
    finally:
        process.kill()
        process.communicate()
