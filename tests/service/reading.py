"""A page of HTML as a reader has it: the sections with their tables, statuses and commands, and all tags."""

from __future__ import annotations

from collections import defaultdict
from html.parser import HTMLParser

VOID = frozenset({"meta", "link"})


class Reading(HTMLParser):
    """What a page says, by the id of the section that says it ("" before the first one)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[list[str]]] = defaultdict(list)
        self.statuses: dict[str, list[str]] = defaultdict(list)
        self.commands: dict[str, list[str]] = defaultdict(list)
        self.texts: dict[str, str] = defaultdict(str)
        self._open: list[str] = []
        self._section = ""
        self.feed(page)
        self.close()
        assert self._open == [], "not closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = str(dict(attrs)["id"])
        match tag:
            case "pre":
                self.commands[self._section].append("")
            case "dt":
                self.statuses[self._section].append("")
            case "tr":
                self.rows[self._section].append([])
            case "td" | "th":
                self.rows[self._section][-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, "closed in another order"

    def handle_data(self, data):
        self.texts[self._section] += data
        if "pre" in self._open:
            self.commands[self._section][-1] += data
        elif "dt" in self._open:
            self.statuses[self._section][-1] += data
        elif "td" in self._open or "th" in self._open:
            self.rows[self._section][-1][-1] += data
