"""The state is in the address; the request, the picture and the answer can be taken along."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.page.steps import EASY, expect_answer_to, open_page, pixels, query


def test_a_link_restores_the_scene(context: BrowserContext, page: Page) -> None:
    open_page(page)
    page.locator("#clutter").fill("5")
    page.locator("#x").fill("61.5")
    expect_answer_to(page, query(x="61.5", clutter="5"))
    expect(page).to_have_url(re.compile(re.escape(query(x="61.5", clutter="5"))))
    other = context.new_page()
    other.goto(page.url)
    expect_answer_to(other, query(x="61.5", clutter="5"))
    assert pixels(other) == pixels(page)
    for name, value in {**EASY, "x": "61.5", "clutter": "5"}.items():
        if name != "digit":
            expect(other.locator(f"#{name}")).to_have_value(value)
    expect(other.get_by_role("radio", name="3", exact=True)).to_be_checked()


def test_what_a_link_leaves_out_is_drawn_from_its_seed(page: Page) -> None:
    page.goto("/?seed=123&digit=4")
    expect_answer_to(page, "synthesize?digit=4&seed=123&format=json&predict=true")
    picture = pixels(page)
    expect(page).to_have_url(re.compile(r"digit=4&x=[\d.]+&y=[\d.]+&size="))
    page.reload()
    expect_answer_to(page, "seed=123")
    assert pixels(page) == picture


def test_nonsense_in_a_link_is_brought_into_range(page: Page) -> None:
    page.goto("/?digit=99&x=-5&size=1000&noise=abc&seed=7")
    expect_answer_to(page, "digit=9&x=32&size=64&seed=7")


def test_back_leads_to_the_scene_before(page: Page) -> None:
    open_page(page)
    page.locator("#gallery button").first.click()
    expect(page.locator("#curl")).not_to_contain_text(query())
    page.go_back()
    expect_answer_to(page, query())
    expect(page.locator("#x")).to_have_value(EASY["x"])


def test_the_command_is_the_exact_request(page: Page, context: BrowserContext) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_page(page, noise="0.2", clutter="3")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.locator("#copy-curl")).to_have_text("Copied")
    command = shlex.split(page.evaluate("() => navigator.clipboard.readText()"))
    assert command[0] == "curl"
    scene = httpx2.get(command[1]).json()
    assert scene["parameters"]["clutter"] == 3
    shown = page.locator("#confidence").inner_text().removeprefix("> ").removesuffix(" %")
    assert 100 * scene["prediction"]["confidence"] == pytest.approx(float(shown), abs=0.1)
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#copy-link")).to_have_text("Copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == page.url
    expect(page.get_by_role("button", name="Copy link")).to_be_visible()


def test_a_file_name_cannot_break_out_of_the_command(page: Page, picture_file: Path) -> None:
    odd = picture_file.rename(picture_file.with_name("it's; rm x.png"))
    open_page(page)
    page.locator("#file").set_input_files(odd)
    expect(page.locator("#curl")).to_contain_text("predict'")
    command = shlex.split(page.locator("#curl").inner_text())
    assert command[:3] == ["curl", "-F", "image=@it's; rm x.png"]


def test_picture_and_answer_can_be_downloaded(page: Page, service: str) -> None:
    open_page(page)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download image").click()
    png = Path(saved.value.path()).read_bytes()
    assert saved.value.suggested_filename == "glimpse-scene.png"
    assert png == httpx2.get(f"{service}/synthesize?{query()}").content
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download JSON").click()
    answer = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert str(answer["prediction"]["label"]) == page.locator("#label").inner_text()
