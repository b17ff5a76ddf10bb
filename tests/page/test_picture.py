"""A picture of one's own, by every way in; an error is the service's own sentence."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx2
from playwright.sync_api import Page, expect

from tests.page.steps import box, expect_answer_to, open_page, pixels

GIVE_FILE = """([kind, name, type, data]) => {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], name, { type }));
    const options = { bubbles: true, cancelable: true };
    document.body.dispatchEvent(kind === "paste"
        ? new ClipboardEvent(kind, { ...options, clipboardData: carried })
        : new DragEvent(kind, { ...options, dataTransfer: carried }));
}"""


def give(page: Page, kind: str, name: str, media_type: str, content: bytes) -> None:
    """Drop or paste a file onto the page."""
    page.evaluate(GIVE_FILE, [kind, name, media_type, base64.b64encode(content).decode()])


def expect_picture(page: Page, name: str) -> None:
    expect_answer_to(page, f"image=@{name}")
    expect(page.get_by_role("tab", name="Your picture")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#verdict")).to_contain_text("It ")
    expect(page.locator("#boxes")).to_have_attribute("viewBox", "0 0 120 80")
    assert box(page, "found").x > 50
    expect(page.locator("#true-box")).to_be_hidden()


def test_a_file_is_dropped_anywhere(page: Page, picture_file: Path) -> None:
    open_page(page)
    give(page, "dragover", "bar.png", "image/png", picture_file.read_bytes())
    assert page.locator("body").get_attribute("class") == "dropping"
    give(page, "drop", "bar.png", "image/png", picture_file.read_bytes())
    expect_picture(page, "bar.png")
    assert page.locator("body").get_attribute("class") == ""


def test_a_picture_is_pasted(page: Page, picture_file: Path) -> None:
    open_page(page)
    give(page, "paste", "clip.png", "image/png", picture_file.read_bytes())
    expect_picture(page, "clip.png")


def test_a_file_is_chosen(page: Page, picture_file: Path) -> None:
    open_page(page)
    page.get_by_role("tab", name="Your picture").click()
    page.get_by_label("Choose a picture").set_input_files(picture_file)
    expect_picture(page, "bar.png")


def test_a_phone_offers_its_camera(page: Page, picture_file: Path) -> None:
    open_page(page)
    camera = page.locator("#camera")
    assert camera.get_attribute("capture") == "environment"
    camera.set_input_files(picture_file)
    expect_picture(page, "bar.png")


def test_what_the_network_saw_is_shown_beside_the_picture(page: Page, picture_file: Path) -> None:
    open_page(page)
    seen = pixels(page, "frame")
    expect(page.locator("#frame-place")).to_contain_text("All of the picture")
    page.locator("#file").set_input_files(picture_file)
    expect_picture(page, "bar.png")
    assert pixels(page, "frame") != seen
    shown = page.evaluate(
        "() => [...document.getElementById('frame').getContext('2d').getImageData(0, 0, 100, 100).data]"
    )
    assert max(shown[::4]) > 200  # the bar's ink
    expect(page.locator("#frame-place")).to_contain_text("100 × 100 values")


def test_a_picture_without_a_digit_is_said_to_show_none(page: Page, blank_file: Path) -> None:
    open_page(page)
    page.locator("#file").set_input_files(blank_file)
    expect(page.locator("#verdict")).to_have_text("It sees no digit.")
    expect(page.locator("#label")).to_have_text("none")
    expect(page.locator("#presence")).to_contain_text("no digit here")
    expect(page.locator("#tag")).to_be_hidden()
    expect(page.locator("#found-box")).to_have_class("unsure")
    expect(page.locator("#picture")).to_have_attribute("aria-label", "A picture. The model sees no digit.")


def test_a_broken_file_shows_the_sentence_of_the_service(page: Page, service: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture at all")
    sentence = httpx2.post(f"{service}/predict", files={"image": broken.open("rb")}).json()["detail"]
    open_page(page)
    page.get_by_role("tab", name="Your picture").click()
    page.locator("#file").set_input_files(broken)
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    # The scene that was there has gone with its answer, and nothing stands in for them.
    expect(page.locator("#verdict")).to_have_text("No answer.")
    expect(page.locator("#found-box")).to_be_hidden()
    expect(page.locator("#label")).to_have_text("–")


def test_a_file_of_another_kind_as_well(page: Page, picture_file: Path) -> None:
    open_page(page)
    give(page, "drop", "notes.txt", "text/plain", b"a shopping list")
    expect(page.get_by_role("alert")).to_contain_text("image/png")
    give(page, "drop", "bar.png", "image/png", picture_file.read_bytes())
    expect_picture(page, "bar.png")
    expect(page.locator("#message")).to_be_hidden()
