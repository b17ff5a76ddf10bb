"""A bulk run that did not come to its end: resumed, refused, or repaired."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.contract import MODEL_PATH
from service.bulk import journal
from service.bulk.journal import folder_of
from service.bulk.run import Run
from tests.service.bulk_runs import ROOT, TIMEOUT_S, make_pictures, picture, read_table


@pytest.fixture
def unfinished(run, tmp_path, monkeypatch):
    """A run of 20 files of which 8 are done: its folder, its table."""
    monkeypatch.setattr(journal, "FILES_PER_PART", 4)
    paths = make_pictures(tmp_path / "scenes", 20)
    out = tmp_path / "out.jsonl"
    keep = journal.Journal.persist

    def keep_two(self: journal.Journal, number: int, lines: list[bytes]) -> None:
        if len(self.done()) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        keep(self, number, lines)

    with monkeypatch.context() as patched:
        patched.setattr(journal.Journal, "persist", keep_two)
        code, said, told = run(tmp_path / "scenes", "--out", out, "--workers", "1")
    assert (code, said) == (1, "")
    assert told.endswith("No space left on device\n")
    assert not out.exists()
    return paths, out


def test_a_full_disk_is_said_and_the_run_goes_on_later(run, unfinished):
    paths, out = unfinished
    code, _, told = run(paths[0].parent, "--out", out)
    assert code == 0
    assert "Going on: 8 of 20 files are done." in told
    assert [row["path"] for row in read_table(out)] == list(map(str, paths))


FULL_THEN_LARGER = """
mount -t tmpfs -o size=700k tmpfs "$DISK" || exit 77
"$@"
test $? = 1 || exit 10
ls "$DISK/out.parquet.parts"
mount -o remount,size=64m "$DISK"
"$@" && cp "$DISK/out.parquet" "$KEPT"
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare to make a small disk with")
def test_a_disk_that_is_really_full(model_path, tmp_path):
    paths = make_pictures(tmp_path / "scenes", 2000)
    disk, kept = tmp_path / "disk", tmp_path / "kept.parquet"
    disk.mkdir()
    command = [sys.executable, "-m", "service", "bulk", str(tmp_path / "scenes"), "--provider", "cpu"]
    command += ["--out", str(disk / "out.parquet"), "--model", str(model_path)]
    # The disk is there in a namespace of its own, and gone with it.
    ended = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", FULL_THEN_LARGER, "sh", *command],
        cwd=ROOT,
        env=os.environ | {"DISK": str(disk), "KEPT": str(kept)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if ended.returncode == 77 or "unshare failed" in ended.stderr:
        pytest.skip(f"no small disk can be made here: {ended.stderr}")
    assert ended.returncode == 0, ended.stderr
    first, *_ = ended.stderr.splitlines()
    assert first == f"{disk}/out.parquet is not made: [Errno 28] No space left on device"
    parts = [line for line in ended.stdout.splitlines() if line.endswith(".jsonl")]
    assert parts
    assert ".new" not in ended.stdout
    assert f"Going on: {len(parts) * journal.FILES_PER_PART:,} of 2,000 files are done." in ended.stderr
    assert [row["path"] for row in read_table(kept)] == list(map(str, paths))


def test_new_and_gone_files_are_said(run, unfinished):
    paths, out = unfinished
    for number in range(3):
        (paths[0].parent / f"new{number}.png").write_bytes(picture(number))
    paths[-1].unlink()
    code, _, told = run(paths[0].parent, "--out", out)
    assert code == 3
    assert "3 files have come since the run began. They are not in it" in told
    assert "1 files of the run are gone" in told
    assert [row["path"] for row in read_table(out)] == list(map(str, paths))


def test_another_run_is_refused_with_the_way_to_begin_anew(run, unfinished, tmp_path, monkeypatch):
    paths, out = unfinished
    folder = paths[0].parent
    make_pictures(tmp_path / "other", 2)
    kept = sorted(path.read_bytes() for path in folder_of(out).iterdir())

    def refused(words: str, *sources: object, **settings: Path) -> None:
        code, said, told = run(*sources, "--out", out, **settings)
        assert (code, said) == (1, "")
        assert words in told
        assert "remove that folder to start over, or give another --out" in told
        assert str(folder_of(out)) in told
        assert kept == sorted(path.read_bytes() for path in folder_of(out).iterdir())

    refused("sources was", tmp_path / "other")
    refused("sources was", folder, tmp_path / "other")
    refused("model was", folder, model=MODEL_PATH)
    monkeypatch.setenv("GLIMPSE_MAX_PIXELS", "1000")
    refused("max_pixels was 25000000 and is 1000", folder)
    monkeypatch.delenv("GLIMPSE_MAX_PIXELS")
    for path in folder_of(out).iterdir():
        path.unlink()
    folder_of(out).rmdir()
    assert run(tmp_path / "other", "--out", out)[0] == 0
    assert len(read_table(out)) == 2


def test_from_another_folder_the_same_words_are_other_files(run, unfinished, monkeypatch):
    paths, out = unfinished
    monkeypatch.chdir(paths[0].parent.parent)
    assert run("scenes", "--out", out)[0] == 0
    assert len(read_table(out)) == 20


def test_a_list_that_was_changed_is_refused(run, unfinished):
    paths, out = unfinished
    with (folder_of(out) / "files").open("ab") as stream:
        stream.write(b"another.png\0")
    code, _, told = run(paths[0].parent, "--out", out)
    assert code == 1
    assert "not the list that the run began with" in told


def test_a_part_that_was_damaged_is_named_and_made_anew_once_removed(run, unfinished):
    paths, out = unfinished
    part = folder_of(out) / "000000001.jsonl"
    part.write_bytes(part.read_bytes()[:-100])
    code, _, told = run(paths[0].parent, "--out", out)
    assert code == 1
    assert f"{part} is damaged" in told
    part.unlink()
    assert run(paths[0].parent, "--out", out)[0] == 0
    assert [row["path"] for row in read_table(out)] == list(map(str, paths))


def test_two_processes_do_not_write_one_table(run, unfinished):
    paths, out = unfinished
    run_json = Run.model_validate_json((folder_of(out) / "run.json").read_bytes())
    with journal.opened(out, lambda: run_json.asked, [str(paths[0].parent)]):
        code, _, told = run(paths[0].parent, "--out", out)
    assert code == 1
    assert "lock is held by another process" in told
