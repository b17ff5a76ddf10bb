"""Every control changes the scene and its answer; what is changed on the stage itself as well."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.page.steps import box, expect_answer_to, move, open_page, pixels, point_on, query


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("x", "70"),
        ("y", "30"),
        ("size", "60"),
        ("clutter", "9"),
        ("noise", "0.25"),
        ("digit_noise", "0.2"),
        ("style", "1234567"),
    ],
)
def test_each_control_changes_the_scene_and_its_answer(page: Page, control: str, value: str) -> None:
    open_page(page)
    picture, glimpse, facts = pixels(page), pixels(page, "glimpse"), page.locator("#facts").inner_text()
    page.locator(f"#{control}").fill(value)
    expect_answer_to(page, f"{control}={value}")
    assert pixels(page) != picture
    assert pixels(page, "glimpse") != glimpse
    assert page.locator("#facts").inner_text() != facts


def test_a_scene_can_be_shown_on_paper_and_taken_off_it(page: Page) -> None:
    open_page(page)
    picture, truth = pixels(page), box(page, "true")
    page.locator("#paper").check()
    expect_answer_to(page, "paper=true")
    assert pixels(page) != picture
    assert box(page, "true") == truth
    expect(page).to_have_url(
        re.compile("paper=true")
    )  # it follows the answer, when changes have come to rest
    page.reload()
    expect_answer_to(page, "paper=true")
    expect(page.locator("#paper")).to_be_checked()
    page.locator("#paper").uncheck()
    expect_answer_to(page, f"{query()}&format=json")  # nothing stands between
    assert pixels(page) == picture


def test_the_seed_changes_all_that_is_left_to_it(page: Page) -> None:
    open_page(page, clutter="4", noise="0.1")
    picture = pixels(page)
    page.locator("#seed").fill("8")
    expect_answer_to(page, "seed=8")
    assert pixels(page) != picture


def test_a_scene_whose_digit_is_not_seen_is_said_to_show_none(page: Page) -> None:
    def unsee(route: Route) -> None:
        answer = route.fetch().json()
        answer["prediction"]["digit_present"] = 0.2
        route.fulfill(json=answer)

    page.route("**/synthesize?*predict=true", unsee)
    open_page(page)
    expect(page.locator("#verdict")).to_have_text("It sees no digit.")
    expect(page.locator("#verdict")).to_have_class("verdict wrong")
    expect(page.locator("#presence")).to_have_text("Probably no digit here (20.0 %). Truly a 3.")
    expect(page.locator("#label")).to_have_text("none")


def test_every_digit_is_read_and_told_right_from_wrong(page: Page) -> None:
    open_page(page)
    for digit in range(10):
        page.get_by_role("radio", name=str(digit), exact=True).check(force=True)
        expect_answer_to(page, f"digit={digit}")
        label = page.locator("#label").inner_text()
        verdict = "Right" if label == str(digit) else "Wrong"
        article = "an" if digit == 8 else "a"
        expect(page.locator("#verdict")).to_have_text(f"{verdict}: it is {article} {digit}.")
    # Ten clean digits of one hand: one of them may be odd, more would be a page that reads the wrong answer.
    open_page(page, digit="3")
    expect(page.locator("#label")).to_have_text("3")
    expect(page.locator("#verdict")).to_have_text("Right: it is a 3.")
    expect(page.locator("#presence")).to_contain_text("digit")


def test_another_hand_and_another_one_and_a_surprise(page: Page) -> None:
    open_page(page)
    for button, field in (("Another hand", "style"), ("Another one", "seed")):
        before = page.locator(f"#{field}").input_value()
        page.get_by_role("button", name=button).click()
        expect(page.locator(f"#{field}")).not_to_have_value(before)
        expect_answer_to(page, f"{field}={page.locator(f'#{field}').input_value()}")
    page.get_by_role("button", name="Surprise me").click()
    expect(page.locator("#curl")).to_contain_text(re.compile(r"synthesize\?seed=\d+&format"))
    # What the seed drew stands on the controls, so that one goes on from there.
    expect(page.locator("#x")).not_to_have_value("40")


def test_the_answer_frames_the_digit_where_it_was_put(page: Page) -> None:
    open_page(page)
    for x, y in ((25, 70), (72, 34)):
        page.locator("#x").fill(str(x))
        page.locator("#y").fill(str(y))
        expect_answer_to(page, f"x={x}&y={y}")
        for name in ("found", "true"):
            assert box(page, name).centre == pytest.approx((x, y), abs=8)
        assert float(page.locator("#iou").inner_text()) > 0.5


def test_a_large_canvas_stays_in_the_scene(page: Page) -> None:
    open_page(page, x="20", y="80", size="40")
    page.locator("#size").fill("64")
    expect_answer_to(page, "x=32&y=68&size=64")
    expect(page.locator("#x")).to_have_attribute("min", "32")


def test_dragging_the_digit_moves_it(page: Page) -> None:
    open_page(page)
    move(page, (40, 60), (50, 50), (66, 38))
    expect_answer_to(page, "x=66&y=38")
    expect(page.locator("#x")).to_have_value("66")
    assert box(page, "found").centre == pytest.approx((66, 38), abs=8)


def test_pressing_beside_the_digit_brings_it_there(page: Page) -> None:
    open_page(page)
    move(page, (75, 25))
    expect_answer_to(page, "x=75&y=25")


def test_dragging_beyond_the_edge_stops_at_it(page: Page) -> None:
    open_page(page)
    move(page, (40, 60), (2, 99))
    expect_answer_to(page, "x=20&y=80")


def test_the_corner_resizes(page: Page) -> None:
    open_page(page)
    move(page, (60, 80), (65, 85))
    expect_answer_to(page, "x=40&y=60&size=50")


def test_a_finger_drags_and_taps(browser: Browser, service: str) -> None:
    context = browser.new_context(base_url=service, viewport={"width": 360, "height": 740}, has_touch=True)
    page = context.new_page()
    open_page(page)
    stage = page.locator("#stage")
    page.touchscreen.tap(*point_on(stage, 72, 30))
    expect_answer_to(page, "y=30")
    # Playwright has no dragging finger: its events come from Chromium's own input layer.
    session = context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [dict(zip("xy", point_on(stage, *place), strict=True)) for place in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (72, 30))
    for step in range(1, 5):
        touch("touchMove", (72 - 8 * step, 30 + 8 * step))
    touch("touchEnd")
    expect_answer_to(page, "x=40&y=62")
    context.close()


def test_arrow_keys_move_and_signs_resize(page: Page) -> None:
    open_page(page)
    page.locator("#stage").focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp", "ArrowLeft", "ArrowDown", "+", "+", "-"):
        page.keyboard.press(key)
    expect_answer_to(page, "x=41&y=56&size=41")


def test_the_attention_can_be_switched_off(page: Page) -> None:
    open_page(page)
    heat = page.locator("#heat")
    expect(heat).to_be_visible()
    page.get_by_label("attention").uncheck()
    expect(heat).to_be_hidden()
    expect(page).to_have_url(re.compile("attention=off"))
    page.reload()
    expect_answer_to(page, query())
    expect(heat).to_be_hidden()


def test_ten_probabilities_as_bars(page: Page) -> None:
    open_page(page)
    bars = page.locator("#bars li")
    expect(bars).to_have_count(10)
    label = int(page.locator("#label").inner_text())
    expect(bars.nth(label)).to_contain_text(page.locator("#confidence").inner_text())
    expect(page.locator("#facts")).to_contain_text("CPUExecutionProvider")
    expect(page.locator("#time")).to_contain_text("ms")
