"""A real browser, for the page's benchmark, its pictures and its tests."""

from __future__ import annotations

import shutil

from playwright.sync_api import Browser, Playwright

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
