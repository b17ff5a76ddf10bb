from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from service.bulk.rows import shown
from service.bulk.sources import SourceError, list_files, path_key


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        *("b.png", "a.JPG", "notes.txt", "sub/c.webp", "sub/deep/d.tiff", "sub.png/e.gif", "sub/README.md"),
        *(".hidden.png", ".cache/f.png", "sub/deep/x/y.bmp", "[odd].png", "aa/g.jpeg"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def listed(*sources: str) -> list[str]:
    return [path.replace(os.sep, "/") for path in list_files(sources)]


def test_a_folder_gives_its_pictures_and_those_below(tree):
    expected = ["[odd].png", "a.JPG", "aa/g.jpeg", "b.png", "sub/c.webp", "sub/deep/d.tiff"]
    expected += ["sub/deep/x/y.bmp", "sub.png/e.gif"]
    assert listed(".") == [f"./{path}" for path in expected]
    assert listed(str(tree)) == [f"{tree}/{path}" for path in expected]
    assert listed("sub/") == ["sub/c.webp", "sub/deep/d.tiff", "sub/deep/x/y.bmp"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["[[]odd].png", "b.png"]),
        ("*", ["[[]odd].png", "a.JPG", "b.png", "notes.txt"]),
        ("sub/*", ["sub/README.md", "sub/c.webp"]),
        ("**/*.png", ["[[]odd].png", "b.png"]),
        ("**/d*", ["sub/deep/d.tiff"]),
        ("**/*/**/?.*", ["aa/g.jpeg", "sub/c.webp", "sub/deep/d.tiff", "sub/deep/x/y.bmp", "sub.png/e.gif"]),
        ("s*/**", ["sub/README.md", "sub/c.webp", "sub/deep/d.tiff", "sub/deep/x/y.bmp", "sub.png/e.gif"]),
        ("sub/*/*", ["sub/deep/d.tiff"]),
        ("sub/**/**/y.bmp", ["sub/deep/x/y.bmp"]),
        (".*", [".hidden.png"]),
        (".cache/*", [".cache/f.png"]),
        ("[ab]*", ["a.JPG", "b.png"]),
    ],
)
def test_patterns(tree, pattern, expected):
    assert listed(pattern) == [path.replace("[[]", "[") for path in expected]
    assert listed(f"{tree}/{pattern}") == [f"{tree}/{path.replace('[[]', '[')}" for path in expected]


def test_a_file_is_taken_whatever_its_name(tree):
    assert listed("notes.txt", ".hidden.png", "[odd].png") == [".hidden.png", "[odd].png", "notes.txt"]


def test_what_sources_share_is_there_once(tree):
    once = listed(".")
    assert listed(".", "b.png", "sub", "sub/../b.png", "**/*.tiff", str(tree)) == once
    assert listed("sub/deep", "sub") == ["sub/c.webp", "sub/deep/d.tiff", "sub/deep/x/y.bmp"]


def test_the_order_is_that_of_the_paths(tmp_path):
    generator = random.Random(0)
    for _ in range(300):
        parts = [generator.choice(["a", "a.b", "a-b", "A", "ab", "ä", "b "]) for _ in range(4)]
        folder = tmp_path.joinpath(*parts[: generator.randint(0, 3)])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{parts[3]}.png").touch()
    paths = list(list_files([str(tmp_path)]))
    assert paths == sorted(map(str, tmp_path.rglob("*.png")), key=path_key)
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(
    ("source", "words"),
    [("nowhere", "does not exist"), ("nowhere/*.png", "matches no file"), ("empty", "no picture")],
)
def test_a_source_without_files_is_refused(tree, source, words):
    (tree / "empty").mkdir()
    with pytest.raises(SourceError, match=words) as caught:
        listed("b.png", source)
    assert repr(source) in str(caught.value)


def test_links_to_files_are_taken_and_those_to_folders_are_not_followed(tree):
    (tree / "sub/deep/up").symlink_to(tree)
    (tree / "sub/deep/up.png").symlink_to(tree)
    (tree / "sub/link.png").symlink_to(tree / "b.png")
    (tree / "sub/lost.png").symlink_to(tree / "lost.png")
    expected = ["sub/c.webp", "sub/deep/d.tiff", "sub/deep/x/y.bmp", "sub/link.png", "sub/lost.png"]
    assert listed("sub") == expected


def test_a_folder_that_cannot_be_listed_is_given_itself(tree, monkeypatch):
    scandir = os.scandir

    def denied(path: str):
        if path.endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert listed("sub") == ["sub/c.webp", "sub/deep"]
    with pytest.raises(SourceError, match="Permission denied"):
        listed("sub/deep")


def test_deep_folders(tmp_path):
    folders = [tmp_path]
    try:
        for _ in range(1200):  # deeper than Python's calls may go
            folders.append(folders[-1] / "d")
            folders[-1].mkdir()
        path = folders[-1] / "a.png"
        path.touch()
        assert list(list_files([str(tmp_path)])) == [str(path)]
        path.unlink()
    finally:  # nor can pytest remove them
        for folder in reversed(folders[1:]):
            folder.rmdir()


def test_names_that_are_not_utf_8_are_shown_with_escapes(tmp_path):
    name = os.fsdecode(b"\xff\xe4.png")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (path,) = list_files([str(tmp_path)])
    assert Path(path).exists()
    assert shown(path) == f"{tmp_path}/\\xff\\xe4.png"
    assert shown("schön\n.png") == "schön\n.png"
