"""The documents hold together: links lead somewhere, the indexes list what is there, named files exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```.*?^```[ \t]*$", re.MULTILINE | re.DOTALL)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def title(path: Path) -> str:
    found = re.match(r"# (.+)\n", read(path))
    assert found, f"{path.name} begins with no title"
    return found[1]


def anchor(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def headings(path: Path) -> list[str]:
    return re.findall(r"^#{1,6} (.+)$", FENCE.sub("", read(path)), re.MULTILINE)


def between(path: Path, mark: str) -> list[str]:
    found = re.search(rf"<!-- {mark}: begin -->\n(.*)<!-- {mark}: end -->", read(path), re.DOTALL)
    assert found, f"{path.name} has no marks {mark!r}"
    return found[1].splitlines()


def pages() -> list[Path]:
    """Every page of the repository: none that commands write, and of hidden folders only .github's."""
    inner = {ROOT / "runs", ROOT / "build", ROOT / "dist"}
    return [
        page
        for page in (*ROOT.rglob("*.md"), *(ROOT / ".github").rglob("*.md"))
        if not inner & {*page.parents}
        and not any(part.startswith(".") and part != ".github" for part in page.relative_to(ROOT).parts)
    ]


def broken_links(path: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", read(path))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (heading and heading not in map(anchor, headings(file))):
            broken.append(f"{path.relative_to(ROOT)}: {target}")
    return broken


def test_every_link_leads_somewhere() -> None:
    assert [link for page in pages() for link in broken_links(page)] == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[a](b.md) [a](b.md#one-two) [a](https://example.org/x) [a](#here)\n# Here\n", []),
        ("[a](c.md)", ["c.md"]),
        ("[a](b.md#three)", ["b.md#three"]),
        ("```\n[a](c.md)\n```\n", []),
    ],
)
def test_a_broken_link_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, broken: list[str]
) -> None:
    monkeypatch.setattr("tests.test_documents.ROOT", tmp_path)
    (tmp_path / "b.md").write_text("# One, two!\n", encoding="utf-8")
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    assert broken_links(tmp_path / "a.md") == [f"a.md: {link}" for link in broken]


def test_the_architecture_names_files_that_are_there() -> None:
    named = re.findall(r"`([\w/]+(?:\.\w+|/))`", read(DOCS / "architecture.md"))
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_index_leads_to_every_page_for_readers() -> None:
    linked = {
        (DOCS / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)\)", read(DOCS / "README.md"))
    }
    inner = {ROOT / "trainer" / "handwriting" / "README.md"}  # trainer/README.md leads to it
    records = {*(DOCS / "decisions").glob("*.md")} - {DOCS / "decisions" / "README.md"}
    shown = {page for page in pages() if ".github" not in page.parts} - records - inner
    assert shown - linked - {DOCS / "README.md"} == set()


def test_the_index_of_decisions_lists_every_record() -> None:
    """Replace what stands between the marks by what this test expects."""
    folder = DOCS / "decisions"
    records = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    expected = [f"- [{title(path)}]({path.name})" for path in records]
    assert between(folder / "README.md", "records") == expected
