"""The page in a real browser, served by a real service with the committed model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from benchmarks.serving.browser import NO_BROWSER, find_chromium, launch
from benchmarks.serving.running import serving
from tests.page.steps import watch

TIMEOUT_MS = 15_000  # for machines that have much else to do; what is awaited comes in a tenth of a second
expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each file: Playwright keeps an event loop in this thread; later tests may want theirs."""
    if find_chromium() is None:
        if os.environ.get("GLIMPSE_BROWSER") == "required":
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service that has no MNIST: the page needs none."""
    nothing = str(tmp_path_factory.mktemp("nothing"))
    with serving(GLIMPSE_MNIST_DIR=nothing) as address:
        yield address


@pytest.fixture(scope="module")
def context(browser: Browser, service: str) -> Iterator[BrowserContext]:
    """One for each file: the page keeps nothing in the browser, and its files are cached."""
    context = browser.new_context(base_url=service, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(TIMEOUT_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, service: str) -> Iterator[Page]:
    """A page that has not been opened yet; at the end it must have behaved."""
    page = context.new_page()
    faults: list[str] = []
    watch(page, service, faults)
    yield page
    page.close()
    assert faults == []


@pytest.fixture
def blank_file(tmp_path: Path) -> Path:
    """A file that shows nothing at all, 120 x 80 px."""
    from PIL import Image

    path = tmp_path / "blank.png"
    Image.new("L", (120, 80)).save(path)
    return path


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    """A file with a bright upright bar on black, 120 x 80 px: no MNIST, but something to box."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (120, 80))
    ImageDraw.Draw(picture).line((80, 20, 76, 58), fill=255, width=6)
    path = tmp_path / "bar.png"
    picture.save(path)
    return path
