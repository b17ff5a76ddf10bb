"""A dozen scenes, one click each; a hundred random ones with a running score."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.page.steps import expect_answer_to, open_page


def test_a_dozen_scenes_with_pictures_one_click_each(page: Page) -> None:
    open_page(page)
    buttons = page.locator("#gallery button")
    expect(buttons).to_have_count(12)
    names = buttons.all_inner_texts()
    assert (names[0], names[-1], len(set(names))) == ("Clean", "Brutal", 12)
    for index in (0, 11):
        thumbnail = buttons.nth(index).locator("img")
        thumbnail.scroll_into_view_if_needed()
        expect(thumbnail).to_have_js_property("complete", value=True)
        expect(thumbnail).to_have_js_property("naturalWidth", 100)
        scene = (thumbnail.get_attribute("src") or "").partition("?")[2]
        buttons.nth(index).click()
        expect_answer_to(page, f"synthesize?{scene}&format=json")
    expect(page.locator("#stage")).to_be_in_viewport()


def test_the_first_view_is_a_crowded_scene_with_both_boxes(page: Page) -> None:
    page.goto("/")
    expect_answer_to(page, "predict=true")
    assert int(page.locator("#clutter").input_value()) >= 6
    for part in ("#found-box", "#true-box", "#tag", "#verdict", "#iou"):
        expect(page.locator(part)).to_be_in_viewport()


def test_the_challenge_counts_and_its_scenes_can_be_opened(page: Page) -> None:
    open_page(page)
    page.get_by_role("button", name="Run 100 scenes").click()
    expect(page.locator("#challenge-count")).to_have_text("100 of 100")
    expect(page.get_by_role("button", name="Run 100 scenes")).to_be_visible()
    links = page.locator("#tiles a[href]")
    expect(links).to_have_count(100)
    wrong = page.locator("#tiles a.wrong").count()
    expect(page.locator("#challenge-error")).to_have_text(f"{wrong}.0 %")
    assert 0.3 < float(page.locator("#challenge-iou").inner_text()) <= 1
    seed = re.search(r"seed=(\d+)", links.first.get_attribute("href") or "")
    assert seed is not None
    links.first.focus()
    page.keyboard.press("ArrowRight")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect_answer_to(page, f"seed={seed[1]}")
    said = links.first.get_attribute("aria-label") or ""
    expect(page.locator("#verdict")).to_contain_text(said.partition(":")[0])


def test_the_challenge_can_be_stopped(page: Page) -> None:
    open_page(page)
    page.get_by_role("button", name="Run 100 scenes").click()
    expect(page.locator("#tiles a[href]").nth(2)).to_be_attached()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Run 100 scenes")).to_be_visible()
    assert 3 <= page.locator("#tiles a[href]").count() < 100
