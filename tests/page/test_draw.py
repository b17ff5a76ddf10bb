"""The pad: what is drawn is asked about, stroke by stroke, and an answer never stays beside newer ink."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.page.steps import box, expect_answer_to, hold, move, pixels


@pytest.fixture
def pad(page: Page) -> Page:
    page.goto("/?view=draw")
    expect(page.locator("#hint")).to_have_text("Draw a digit here.")
    return page


def expect_reading(page: Page) -> None:
    expect_answer_to(page, "image=@drawing.png")
    expect(page.locator("#verdict")).to_contain_text("It ")


def test_a_drawn_digit_is_found_where_it_is_drawn(pad: Page) -> None:
    move(pad, (70, 20), (69, 35), (68, 52))
    expect_reading(pad)
    found = box(pad, "found")
    # The pad has 300 px a side, the scene of these strokes 100.
    assert (found.centre[0] / 3, found.centre[1] / 3) == pytest.approx((69, 36), abs=8)
    assert found.height > found.width
    expect(pad.locator("#iou")).to_have_text("–")
    expect(pad.locator("#true-box")).to_be_hidden()


def test_each_stroke_is_answered_and_the_eraser_takes_ink_away(pad: Page) -> None:
    move(pad, (30, 20), (30, 60))
    expect_reading(pad)
    one_stroke, first = pixels(pad, "pad"), box(pad, "found")
    move(pad, (30, 60), (60, 60))
    expect_reading(pad)
    two_strokes = pixels(pad, "pad")
    assert two_strokes != one_stroke
    pad.get_by_role("radio", name="Eraser").check(force=True)
    move(pad, (38, 60), (65, 60))
    expect_reading(pad)
    assert pixels(pad, "pad") not in (one_stroke, two_strokes)
    assert box(pad, "found").centre == pytest.approx(first.centre, abs=30)


def test_an_answer_is_gone_as_soon_as_the_ink_changes(pad: Page) -> None:
    move(pad, (50, 20), (50, 60))
    expect_reading(pad)
    held = hold(pad, "**/predict")
    move(pad, (50, 60), (70, 60))
    expect(pad.locator("#found-box")).to_be_hidden()
    expect(pad.locator("#label")).to_have_text("–")
    expect(pad.get_by_role("button", name="Download JSON")).to_be_disabled()
    expect(pad.locator("#message")).to_contain_text("Asking")
    held[0].continue_()
    expect_reading(pad)
    expect(pad.locator("#message")).to_be_hidden()


def test_clearing_or_erasing_all_leaves_nothing(pad: Page) -> None:
    empty = pixels(pad, "pad")
    move(pad, (50, 30), (50, 60))
    expect_reading(pad)
    pad.get_by_role("button", name="Clear").click()
    expect(pad.locator("#hint")).to_have_text("Draw a digit here.")
    expect(pad.locator("#label")).to_have_text("–")
    assert pixels(pad, "pad") == empty
    move(pad, (50, 30), (50, 34))
    expect_reading(pad)
    pad.get_by_role("radio", name="Eraser").check(force=True)
    move(pad, (50, 26), (50, 40))
    expect(pad.locator("#hint")).to_be_visible()


def test_the_keyboard_draws(pad: Page) -> None:
    pad.locator("#stage").focus()
    pad.keyboard.press("Space")
    for _ in range(12):
        pad.keyboard.press("ArrowDown")
    pad.keyboard.press("Space")
    expect_reading(pad)
    found = box(pad, "found")
    assert found.height > 40
    assert found.centre[0] / 3 == pytest.approx(50, abs=8)


def test_the_drawing_waits_while_one_looks_elsewhere(pad: Page) -> None:
    move(pad, (50, 20), (50, 60))
    expect_reading(pad)
    drawn, found = pixels(pad, "pad"), box(pad, "found")
    pad.get_by_role("tab", name="Build a scene").click()
    expect_answer_to(pad, "predict=true")
    pad.get_by_role("tab", name="Draw").click()
    expect_reading(pad)
    assert (pixels(pad, "pad"), box(pad, "found")) == (drawn, found)
