"""From a slider's change to the painted answer, in a real browser.

A key is pressed on a slider; the clock runs from the time of that key's event to the second animation frame
after the answer to this very change stands in the document: by then it has been painted. Browser and service
share the machine. With `--pictures` the README's pictures of the page are made instead.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.results import FOLDER, parser, publish
from benchmarks.serving.browser import launch
from benchmarks.serving.running import serving

WARM_UP = 20
LIMIT_P95_MS = 100
SLIDERS = ("x", "y", "size", "clutter", "noise", "digit_noise")
SCENE = "digit=3&x=62&y=42&size=38&clutter=8&noise=0.1&digit_noise=0.05&style=7&seed=7"
LARGEST_PICTURE_BYTES = 200_000

# The page writes its command last, in the same task as picture and answer.
_WATCH = """() => {
    addEventListener("keydown", (event) => { window.pressed = event.timeStamp; }, true);
    window.answered = () => new Promise((done) => {
        const end = () => done(performance.now() - window.pressed);
        const watch = new MutationObserver(() => {
            watch.disconnect();
            requestAnimationFrame(() => requestAnimationFrame(end));
        });
        watch.observe(document.getElementById("curl"), { childList: true });
    });
}"""


PICTURES: dict[str, tuple[ViewportSize, Literal["light", "dark"]]] = {
    "page-light": ({"width": 1280, "height": 760}, "light"),
    "page-dark": ({"width": 1280, "height": 760}, "dark"),
    "page-phone": ({"width": 360, "height": 740}, "light"),
}


def main(arguments: Sequence[str]) -> None:
    """Measure and write `results/page.json`, or make the pictures."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--changes", type=int, default=600, help="how many changes are measured")
    options_of.add_argument("--pictures", action="store_true", help="make the README's pictures instead")
    options_of.add_argument("--out", type=Path, default=FOLDER, help="the folder for the pictures")
    options = options_of.parse_args(arguments)
    with sync_playwright() as playwright, launch(playwright) as browser, serving() as address:
        if options.pictures:
            _take_pictures(browser, address, options.out)
        else:
            _report(browser, address, options.changes)


def measure(page: Page, changes: int) -> list[float]:
    """Milliseconds from key to painted answer, for changes of one slider after the other."""
    page.evaluate(_WATCH)
    samples = []
    for change in range(changes):
        slider = page.locator(f"#{SLIDERS[change % len(SLIDERS)]}")
        slider.focus()
        answered = page.evaluate_handle("() => ({ promise: window.answered() })")
        # Up and down in turn, so that no slider comes to its end.
        page.keyboard.press("ArrowRight" if change // len(SLIDERS) % 2 == 0 else "ArrowLeft")
        samples.append(float(answered.evaluate("({ promise }) => promise")))
    return samples


def _report(browser: Browser, address: str, changes: int) -> None:
    load = os.getloadavg()[0]
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    _open(page, address)
    measure(page, WARM_UP)
    samples = np.array(measure(page, changes))
    p50, p95, p99 = (round(float(value), 1) for value in np.percentile(samples, (50, 95, 99)))
    cores = os.cpu_count() or 1
    figures = {
        "changes": changes,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "max_ms": round(float(samples.max()), 1),
        "limit_p95_ms": LIMIT_P95_MS,
        "chromium": browser.version,
        "cores": cores,
        "load_average_before": round(load, 2),
    }
    print(f"p50 {p50} ms, p95 {p95} ms, p99 {p99} ms over {changes} changes")
    publish("page", figures, threads=cores)


def _take_pictures(browser: Browser, address: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (viewport, scheme) in PICTURES.items():
        page = browser.new_page(viewport=viewport, color_scheme=scheme)
        _open(page, address)
        page.locator("#clutter").fill("9")  # the first answer of a page is a cold one: show the next
        page.locator("#curl").filter(has_text="clutter=9").wait_for()
        page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
        path = folder / f"{name}.png"
        page.screenshot(path=path)
        # 256 colours are enough for a page in grey, orange and green, and a third of the bytes.
        Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size > LARGEST_PICTURE_BYTES:
            raise SystemExit(f"error: {path} is larger than {LARGEST_PICTURE_BYTES:,} bytes")
        print(f"wrote {path}")
        page.close()


def _open(page: Page, address: str) -> None:
    page.goto(f"{address}/?{SCENE}")
    page.locator("#tag").wait_for()
    page.wait_for_load_state("networkidle")  # the gallery's pictures are there, which come last
