"""The interface for programs in a real browser, and its examples as a reader runs them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page

from tests.page.steps import Scheme, assert_no_violation
from tests.service.reading import Reading


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_axe_finds_no_violation(page: Page, width: int, scheme: Scheme) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(color_scheme=scheme)
    page.goto("/docs")
    assert page.get_by_role("heading", name="POST /predict", exact=True).is_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    cut = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((element) => !element.closest("thead") && element.scrollWidth > element.clientWidth + 1)
            .filter((element) => getComputedStyle(element).display !== "inline")
            .map((element) => element.textContent)"""
    )
    assert cut == [], "wider than its place"
    assert_no_violation(page)


def test_the_page_leads_there(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Interface for programs").click()
    page.get_by_role("link", name="PredictedSceneAnswer").click()
    assert page.url.endswith("/docs#PredictedSceneAnswer")


def test_every_example_works(service: str, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    with urlopen(f"{service}/docs") as answer:
        sections = Reading(answer.read().decode()).commands
    commands = [command for section in sections.values() for command in section]
    assert len(commands) == 19
    for command in sorted(
        commands, key=lambda command: "-o scene.png" not in command
    ):  # it makes the picture
        words = [curl, "--fail-with-body", "--no-progress-meter", *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    assert (tmp_path / "scene.png").read_bytes().startswith(b"\x89PNG")
