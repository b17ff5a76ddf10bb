"""A bulk run that is killed by SIGKILL, wherever it is, goes on without losing or repeating a row."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from service.bulk.journal import FILES_PER_PART, folder_of
from tests.service.bulk_runs import ROOT, TIMEOUT_S, make_pictures, read_table, run_and_die

FILES, SMALL_PART = 20, 6


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill") / "scenes"
    make_pictures(folder, FILES - 1)
    (folder / "broken.png").write_bytes(b"broken")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_killed_before_every_step_on_the_disk_it_goes_on(scenes, model_path, tmp_path, kind):
    whole = tmp_path / f"whole.{kind}"
    assert run_and_die([str(scenes)], whole, model_path, files_per_part=SMALL_PART, die_at=None) == 3
    expected = read_table(whole)
    assert [row["path"] for row in expected] == [str(path) for path in sorted(scenes.iterdir())]
    assert [row["path"] for row in expected if row["error"]] == [str(scenes / "broken.png")]
    killed = 0
    for die_at in range(1, 200):
        out = tmp_path / str(die_at) / f"out.{kind}"
        out.parent.mkdir()
        code = run_and_die([str(scenes)], out, model_path, files_per_part=SMALL_PART, die_at=die_at)
        if code == 3:
            break
        assert code is None
        killed += 1
        if out.exists():  # it appears whole
            assert read_table(out) == expected
        code = run_and_die([str(scenes)], out, model_path, files_per_part=SMALL_PART, die_at=None)
        # Killed between its last two steps, the table is there and nothing of the run is left to know it by.
        assert code == 3 or (code == 1 and out.exists() and not (folder_of(out) / "run.json").exists())
        assert read_table(out) == expected
        shutil.rmtree(folder_of(out), ignore_errors=True)
        assert {path.name for path in out.parent.iterdir()} <= {out.name, f"{out.name}.json"}
    # Begin, parts, table, end: at the least three steps for each file, and one to remove it.
    assert 20 < killed < 199


def test_killed_again_and_again_it_gets_there(scenes, model_path, tmp_path):
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    run_and_die([str(scenes)], whole, model_path, files_per_part=2, die_at=None)
    # Nine steps are enough for one part: open, to the disk, rename, twice over with two threads.
    for _ in range(100):
        code = run_and_die([str(scenes)], out, model_path, files_per_part=2, die_at=10)
        if code is not None or out.exists():
            break
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_the_command_itself_killed_in_the_middle(model_path, tmp_path):
    make_pictures(tmp_path / "scenes", 3000)
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "service", "bulk", str(tmp_path / "scenes"), "--out", str(out)]
    command += ["--model", str(model_path), "--provider", "cpu", "--progress", "--workers", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = b""
        while not (found := re.findall(rb" (\d+)/3000", said)) or int(found[-1]) < 600:
            piece = os.read(process.stderr.fileno(), 4096)
            assert piece, said
            said += piece
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    kept = len(list(folder_of(out).glob("*.jsonl")))
    assert kept >= 2
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert ended.returncode == 0, ended.stderr
    assert f"Going on: {kept * FILES_PER_PART:,} of 3,000 files are done." in ended.stderr
    assert ended.stdout == f"{out}: 3,000 files, 0 of them could not be read\n"
    assert [row["path"] for row in read_table(out)] == sorted(map(str, (tmp_path / "scenes").iterdir()))
    assert not folder_of(out).exists()
