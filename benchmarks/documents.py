"""Tables in the documents: each stands between two comments, written by the command that measured it.

`python -m benchmarks tables` writes those that nothing measures: the service's settings, and where each
figure comes from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from service.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
FIGURES_PAGE = ROOT / "benchmarks" / "results" / "README.md"
SERVICE_PAGE = ROOT / "service" / "README.md"
FRONT_PAGE = ROOT / "README.md"
MODEL_CARD = ROOT / "models" / "README.md"
DECISIONS_PAGE = ROOT / "docs" / "decisions" / "README.md"


def fill_in(name: str, text: str, page: Path = FIGURES_PAGE) -> None:
    """Put `text` between the comments that name it, in place of what was there."""
    before, _, after = _split(name, page)
    page.write_text(f"{before}\n{text}\n{after}", encoding="utf-8")


def read_out(name: str, page: Path = FIGURES_PAGE) -> str:
    """What stands between the comments that name it."""
    return _split(name, page)[1].strip("\n")


def percent(share: float) -> str:
    """A share as tables show it: "1.47 %"."""
    return f"{100 * share:.2f} %"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    body = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([body[0], "|---" * len(head) + "|", *body[1:]])


def _split(name: str, page: Path) -> tuple[str, str, str]:
    """The page up to the first comment, what is between, and the page from the second comment on.

    Raises:
        ValueError: the page has no such pair of comments.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    head, found, rest = text.partition(begin)
    between, found_end, tail = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{page.name}: expected {begin} and {end}, but it lacks one of them")
    return head + begin, between, end + tail


def origins_table(page: Path) -> str:
    """Where the figures of a page come from: command, date, commit and hardware of each result file."""
    rows = []
    for path in sorted((page.parent if page == FIGURES_PAGE else page.parent / "results").glob("*.json")):
        made = json.loads(path.read_text(encoding="utf-8"))
        link = f"[`{path.stem}`]({path.relative_to(page.parent)})"
        command = made["command"].replace("benchmarks.", "benchmarks ")  # as it is typed today
        rows.append((link, f"`{command}`", made["measured"][:10], made["commit"][:9], made["hardware"]))
    return table(("file", "command", "measured", "commit", "hardware"), rows)


def settings_table() -> str:
    """The service's settings as a Markdown table, from their declarations."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        if isinstance(default, Path):
            default = default.relative_to(ROOT)
        shown = "none" if default in (None, ()) else str(default).lower()
        rows.append((f"`GLIMPSE_{name.upper()}`", shown, field.description))
    rows.append(("`GLIMPSE_MNIST_DIR`", "a cache", "The folder with MNIST's four files, for `digits=mnist`."))
    return table(("variable", "default", "meaning"), rows)


def main(_: Sequence[str]) -> None:
    """Write the tables that nothing measures."""
    fill_in("settings", settings_table(), SERVICE_PAGE)
    for page in (FIGURES_PAGE, DECISIONS_PAGE):
        fill_in("origins", origins_table(page), page)
