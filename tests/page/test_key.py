"""A service that asks for a key, as the page's user meets it; and answers that a browser opens itself."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from benchmarks.serving.running import serving
from tests.page.steps import assert_no_violation, expect_answer_to, open_page, query, watch

KEY = "a-key-for-the-page-0001"


def test_a_key_is_asked_for_used_and_not_kept(browser: Browser) -> None:
    with serving(GLIMPSE_API_KEYS=KEY) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        faults: list[str] = []
        watch(page, address, faults)
        page.goto(f"{address}/?{query()}")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("This service asks for a key.")
        assert_no_violation(page)
        page.get_by_label("Key", exact=True).fill("not-the-right-key-0001")
        page.get_by_role("button", name="Use it").click()
        expect(alert).to_contain_text("The service does not know this key.")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.keyboard.press("Enter")
        expect_answer_to(page, query())
        expect(page.locator("#message")).to_be_hidden()
        # The thumbnails are asked for with the key as well.
        page.locator("#gallery").scroll_into_view_if_needed()
        thumbnail = page.locator("#gallery img").first
        expect(thumbnail).to_have_attribute("src", re.compile("^blob:"))
        assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") == 100
        expect(page.locator("#curl")).to_contain_text('-H "X-API-Key: $KEY"')
        assert KEY not in page.content()
        assert KEY not in page.url
        page.reload()
        expect(alert).to_contain_text("This service asks for a key.")
        page.close()
        assert faults == []


def test_without_keys_nothing_asks_for_one(page: Page) -> None:
    open_page(page)
    expect(page.locator("#key-form")).to_be_hidden()
    assert "X-API-Key" not in page.locator("#curl").inner_text()


def test_answers_are_shown_by_the_browser_itself(page: Page) -> None:
    """The policy of answers forbids all that a document may load, and yet they are to be looked at."""
    page.goto("/synthesize?seed=7")
    assert (
        page.evaluate("() => document.images[0].decode().then(() => document.images[0].naturalWidth)") == 100
    )
    page.goto("/healthz")
    expect(page.locator("body")).to_contain_text("alive")
