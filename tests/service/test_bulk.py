from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from threading import Event
from typing import IO

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.contract import MODEL_PATH, file_sha256
from service.bulk import command, journal, tables
from service.bulk.journal import Part, folder_of
from service.bulk.rows import FileLimits, RowMaker, read_file
from service.bulk.threads import ModelThreads
from service.inference.jobs import PictureJob
from service.inference.predictor import OnnxPredictor
from service.inference.work import Work
from service.pictures.decode import ImageError
from tests.service.bulk_runs import COLUMNS, TIMEOUT_S, make_pictures, picture, read_table
from tests.service.fakes import BlobPredictor, encode

LIMITS = FileLimits(max_file_bytes=200_000, max_pixels=1_000_000)


def odd_pictures(folder: Path) -> list[str]:
    """Pictures of many sizes, strips among them, light and dark."""
    generator = np.random.default_rng(0)
    sizes = [(100, 100), (1, 1), (37, 90), (400, 250), (150, 401), (28, 28), (99, 101), (1, 900)]
    paths = []
    for number, (height, width) in enumerate([*sizes, *sizes]):
        grey = generator.integers(0, 60, (height, width)).astype(np.uint8)
        grey[height // 3 : height // 2 + 1, width // 4 : width // 3 + 1] = 200 + number
        path = folder / f"{number:02}.png"
        path.write_bytes(encode(grey if number < len(sizes) else 255 - grey))
        paths.append(str(path))
    return paths


def flat(answer: dict) -> dict:
    """An answer of `/predict` with the names of the columns."""
    box = {f"bbox_{name}": value for name, value in answer["bbox"].items()}
    attention = {f"attention_{name}": value for name, value in answer["attention"].items()}
    single = {name: answer[name] for name in COLUMNS if name in answer}
    return {**single, **box, **attention, "error": None}


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_rows_are_the_answers_of_predict(client, predictor, tmp_path, batch):
    paths = odd_pictures(tmp_path)
    rows = RowMaker(predictor, LIMITS, batch).rows(paths, lambda _: None)
    assert {row.inverted for row in rows} == {False, True}
    for path, row in zip(paths, rows, strict=True):
        posted = client.post("/predict?maps=none", files={"image": Path(path).read_bytes()}).json()
        assert json.loads(row.to_json()) == {"path": path, **flat(posted)}


def test_large_pictures_are_not_kept_until_the_batch_is_read(client, predictor, tmp_path):
    grey = np.zeros((700, 800), np.uint8)
    grey[100:300, 400:600] = 230
    paths = []
    for number, content in enumerate([picture(3), encode(grey), picture(4), encode(grey.T)]):
        paths.append(str(tmp_path / f"{number}.png"))
        Path(paths[-1]).write_bytes(content)
    rows = RowMaker(predictor, LIMITS, 4).rows(paths, lambda _: None)
    assert predictor.batches == [
        2,
        1,
        2,
        1,
        2,
    ]  # each large one from near, far and closer; then the small ones
    for path, row in zip(paths, rows, strict=True):
        posted = client.post("/predict?maps=none", files={"image": Path(path).read_bytes()}).json()
        assert json.loads(row.to_json()) == {"path": path, **flat(posted)}


@pytest.mark.parametrize("batch", [1, 5, 8])
def test_rows_of_the_committed_model_are_the_answers_of_the_service(tmp_path, batch):
    paths = odd_pictures(tmp_path)
    work = Work(OnnxPredictor(MODEL_PATH, "cpu", threads=1))
    rows = RowMaker(OnnxPredictor(MODEL_PATH, "cpu", threads=1), LIMITS, batch).rows(paths, lambda _: None)
    found = [json.loads(row.to_json()) for row in rows]

    def served(*together: str) -> list[dict]:
        jobs = [PictureJob(Path(path).read_bytes(), "none", 25_000_000, exclusive=True) for path in together]
        answers = [json.loads(answer) for answer in work(jobs).results if isinstance(answer, bytes)]
        return [{"path": path, **flat(answer)} for path, answer in zip(together, answers, strict=True)]

    for start in range(0, len(paths), batch):  # bit for bit
        assert found[start : start + batch] == served(*paths[start : start + batch])
    # In another batch the last digits of what onnxruntime multiplies may differ.
    for row, path in zip(found, paths, strict=True):
        for name, value in served(path)[0].items():
            number = isinstance(value, float | list)
            assert row[name] == (pytest.approx(value, rel=1e-3, abs=2e-3) if number else value)


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_table_of_each_kind(run, model_path, tmp_path, kind):
    paths = make_pictures(tmp_path / "scenes", 600)
    (tmp_path / "scenes" / "00300.png").write_bytes(b"hello")
    out = tmp_path / f"predictions.{kind}"
    code, said, told = run(tmp_path / "scenes", "--out", out)
    assert code == 3
    assert said == f"{out}: 600 files, 1 of them could not be read\n"
    assert f"  {paths[300]}: image: expected one of PNG" in told
    rows = read_table(out)
    assert [row["path"] for row in rows] == list(map(str, paths))
    assert all(tuple(row) == COLUMNS for row in rows)
    bad = rows.pop(300)
    assert bad["error"].startswith("image: expected one of PNG")
    assert [name for name, value in bad.items() if value is not None] == ["path", "error"]
    assert all(row["error"] is None and row["label"] == 3 for row in rows)
    assert rows[105]["inverted"] is False
    assert rows[1]["bbox_x"] == pytest.approx(1, abs=0.1)
    assert rows[1]["probabilities"] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert not folder_of(out).exists()
    if kind == "parquet":
        about = json.loads(pq.read_schema(out).metadata[b"glimpse"])
        assert {path.name for path in tmp_path.iterdir()} == {"scenes", out.name}
    else:
        about = json.loads(out.with_name(out.name + ".json").read_text(encoding="utf-8"))
    assert about == {
        "files": 600,
        "model": {
            "name": "centroid",
            "version": "0.0.1",
            "sha256": file_sha256(model_path),
            "provider": "CPUExecutionProvider",
        },
        "max_file_bytes": 2**24,
        "max_pixels": 25_000_000,
    }


def test_the_tables_of_all_kinds_hold_the_same(run, tmp_path):
    odd_pictures(tmp_path)
    (tmp_path / 'a "b", c\n.png').write_bytes(b"")
    tables = []
    for kind in ("parquet", "csv", "jsonl"):
        out = tmp_path / f"out.{kind}"
        assert run(tmp_path, "--out", out, model=MODEL_PATH)[0] == 3
        tables.append(read_table(out))
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0]) == 17


def test_workers_and_batch_change_nothing(run, tmp_path):
    make_pictures(tmp_path / "scenes", 700)
    contents = set()
    for number, options in enumerate(
        (["--batch", "1"], ["--batch", "64"], ["--workers", "5", "--batch", "3"])
    ):
        out = tmp_path / f"{number}.jsonl"
        assert run(tmp_path / "scenes", "--out", out, *options)[0] == 0
        contents.add(out.read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("provider", "batches"), [("CPUExecutionProvider", [32, 32, 6]), ("CUDAExecutionProvider", [64, 6])]
)
def test_the_batch_is_the_best_where_the_model_runs(tmp_path, provider, batches):
    blob = BlobPredictor()
    blob.provider = provider
    RowMaker(blob, LIMITS).rows(list(map(str, make_pictures(tmp_path, 70))), lambda _: None)
    assert blob.batches == batches


def test_the_next_part_is_made_while_the_disk_takes_one(model_path, tmp_path):
    paths = list(map(str, make_pictures(tmp_path, 8)))
    told, kept = [], []
    all_are_made = Event()

    def progress(files: int, _unreadable: int) -> None:
        told.append(files)
        if sum(told) == 8:
            all_are_made.set()

    def keep(number: int, lines: Iterable[bytes]) -> None:
        assert all_are_made.wait(TIMEOUT_S)
        kept.append((number, len(list(lines))))

    threads = ModelThreads(model_path, "cpu", LIMITS, 1, None)
    threads.run(iter([Part(0, paths[:4]), Part(1, paths[4:])]), keep, progress)
    assert sorted(kept) == [(0, 4), (1, 4)]


def test_the_last_part_that_cannot_be_kept_is_not_passed_over(model_path, tmp_path):
    def keep(number: int, lines: Iterable[bytes]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    threads = ModelThreads(model_path, "cpu", LIMITS, 2, None)
    with pytest.raises(OSError, match="No space left"):
        threads.run(iter([Part(0, list(map(str, make_pictures(tmp_path, 3))))]), keep, lambda *_: None)


def test_bad_files_have_their_reason_and_end_nothing(run, tmp_path):
    folder = tmp_path / "scenes"
    make_pictures(folder, 3)
    good = picture(1)
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes(good[:-30])
    (folder / "text.png").write_text("hello")
    (folder / "huge.png").write_bytes(good + b"\0" * 2**24)
    (folder / "lost.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.png")
    out = tmp_path / "out.jsonl"
    code, _, told = run(folder, "--out", out)
    assert code == 3
    errors = {Path(row["path"]).name: row["error"] for row in read_table(out) if row["error"]}
    expected = {
        "empty.png": "got none",
        "cut.png": "damaged or cut short",
        "text.png": "5 bytes of no such format",
        "huge.png": f"expected at most 16777216 bytes, got {2**24 + len(good)}",
        "lost.png": "No such file",
        "pipe.png": "regular file",
    }
    assert errors.keys() == expected.keys()
    for name, words in expected.items():
        assert words in errors[name]
        assert f"{folder / name}: " in told
    assert len(read_table(out)) == 9


def test_many_bad_files_are_not_all_printed(run, tmp_path):
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(b"")
    code, said, told = run(tmp_path, "--out", tmp_path / "out.jsonl")
    assert (code, told.count("image: expected")) == (3, 20)
    assert "  and 10 more\n" in told
    assert "30 files, 30 of them" in said


def test_a_file_without_permission_is_a_bad_file():
    # pytest's own folders are closed to others, which root becomes here.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "closed.png"
        path.write_bytes(picture(1))
        path.chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(ImageError, match="Permission denied"):
                read_file(str(path), 1000)
        finally:
            if os.getuid() == 0:
                os.seteuid(0)


def test_a_file_that_vanishes_while_it_runs_is_a_bad_file(run, tmp_path, monkeypatch):
    paths = make_pictures(tmp_path / "scenes", 5)
    make_rows = command.make_rows

    def vanish(*arguments: object) -> None:
        paths[2].unlink()
        make_rows(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "make_rows", vanish)
    out = tmp_path / "out.csv"
    assert run(tmp_path / "scenes", "--out", out)[0] == 3
    errors = [row["error"] for row in read_table(out)]
    assert errors == [None, None, "file: cannot be read: No such file or directory", None, None]


def test_a_name_is_no_formula_in_a_csv(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["=1+1.png", "+a.png", "-a.png", "@SUM(A1).png", "\ta.png", "=cmd|'c'!a.png", "a=b.png", "a.png"]
    for number, name in enumerate(names):
        Path(name).write_bytes(picture(number))
    assert run("*.png", "--out", "out.csv")[0] == 0
    rows = read_table(Path("out.csv"))
    assert not any(row["path"].startswith(("=", "+", "-", "@", "\t")) for row in rows)
    assert {str(Path(row["path"])) for row in rows} == set(names)  # each still leads to its file
    assert {row["path"] for row in rows} >= {"a.png", "a=b.png", "./-a.png"}
    assert run("*.png", "--out", "out.jsonl")[0] == 0
    assert {row["path"] for row in read_table(Path("out.jsonl"))} == set(names)


def test_files_that_are_no_pictures_by_their_name_are_counted_and_said(run, tmp_path, monkeypatch):
    folder = tmp_path / "scans"
    make_pictures(folder, 3)
    for name in ("IMG_1.NEF", "IMG_2.nef", "scan", "notes.txt", ".hidden", "below/x.nef"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    # What the run itself writes there, and what another source takes, is not passed over.
    code, said, told = run(folder, folder / "notes.txt", "--out", folder / "out.jsonl")
    assert (code, said) == (3, f"{folder}/out.jsonl: 4 files, 1 of them could not be read\n")
    assert "4 files were passed over" in told
    assert "(3 .nef, 1 without a suffix)" in told
    (folder / "out.jsonl").unlink()
    only = folder / "below"
    code, _, told = run(only, "--out", tmp_path / "out.jsonl")
    assert (code, "has no picture in it" in told, "and 1 files there do not" in told) == (1, True, True)


def test_names_of_all_ends_are_counted_in_few_words(run, tmp_path):
    make_pictures(tmp_path / "scans", 1)
    for number in range(50):
        (tmp_path / "scans" / f"a.{number}").write_bytes(b"")
    _, _, told = run(tmp_path / "scans", "--out", tmp_path / "out.jsonl")
    assert "50 files were passed over" in told
    assert "30 others" in told


def test_names_that_are_not_utf_8(run, tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    name = os.fsdecode(b"\xff.png")
    try:
        (folder / name).write_bytes(picture(3))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    for kind in ("parquet", "csv", "jsonl"):
        out = tmp_path / f"out.{kind}"
        assert run(folder, folder / name, "--out", out)[0] == 0
        (row,) = read_table(out)
        assert row["path"] == f"{folder}/\\xff.png"
        assert row["error"] is None


def test_a_table_that_is_there_is_not_overwritten(run, tmp_path):
    make_pictures(tmp_path / "scenes", 2)
    out = tmp_path / "out.csv"
    out.write_text("mine")
    code, _, told = run(tmp_path / "scenes", "--out", out)
    assert (code, out.read_text()) == (1, "mine")
    assert f"{out} is there already: remove it, or give another --out" in told
    assert {path.name for path in tmp_path.iterdir()} == {"scenes", "out.csv"}


def test_what_cannot_begin_leaves_nothing_behind(run, tmp_path):
    code, _, told = run(tmp_path / "nowhere", "--out", tmp_path / "out.jsonl")
    assert code == 1
    assert told.startswith(f"{tmp_path}/out.jsonl is not made: source '{tmp_path}/nowhere' does not exist: ")
    assert told.count("\n") == 1
    code, _, told = run(tmp_path, "--out", tmp_path / "out.txt")
    assert (code, "ends in .parquet or .csv or .jsonl" in told) == (1, True)
    code, _, told = run(tmp_path, "--out", tmp_path / "no" / "out.csv")
    assert code == 1
    assert told == (
        f"{tmp_path}/no/out.csv is not made: the folder {tmp_path}/no does not exist: make it, or give "
        "another --out\n"
    )
    code, _, told = run(tmp_path / "no" / "*.png", "--out", tmp_path / "out.csv")
    assert (code, f"the folder '{tmp_path}/no' does not exist" in told) == (1, True)
    assert list(tmp_path.iterdir()) == []
    make_pictures(tmp_path / "scenes", 2)
    code, _, told = run(tmp_path / "scenes", "--out", tmp_path / "out.csv", model=tmp_path / "none.onnx")
    assert (code, "none.onnx does not exist" in told) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


def test_without_pyarrow_the_extra_is_named(run, tmp_path, monkeypatch):
    make_pictures(tmp_path / "scenes", 2)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    code, _, told = run(tmp_path / "scenes", "--out", tmp_path / "out.parquet")
    assert code == 1
    assert "pip install '.[bulk]'" in told
    assert run(tmp_path / "scenes", "--out", tmp_path / "out.csv")[0] == 0


def test_a_model_that_fails_ends_the_run_with_a_sentence(tmp_path, model_path, capsys, monkeypatch):
    make_pictures(tmp_path / "scenes", 5)
    blob = BlobPredictor()
    blob.failure = "the device is lost"
    monkeypatch.setattr(OnnxPredictor, "predict", blob.predict)
    assert (
        command.main([str(tmp_path / "scenes"), "--out", str(tmp_path / "o.csv"), "--model", str(model_path)])
        == 1
    )
    assert "o.csv is not made: the device is lost" in capsys.readouterr().err


def test_an_interrupt_is_said(run, tmp_path, monkeypatch):
    make_pictures(tmp_path / "scenes", 5)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "make_rows", interrupt)
    code, _, told = run(tmp_path / "scenes", "--out", tmp_path / "out.csv")
    assert code == 130
    assert told == f"Stopped. The same command goes on towards {tmp_path / 'out.csv'}.\n"


def test_a_bar_is_shown_where_it_is_asked_for(run, tmp_path):
    make_pictures(tmp_path / "scenes", 5)
    (tmp_path / "scenes" / "bad.png").touch()
    assert "6/6" not in run(tmp_path / "scenes", "--out", tmp_path / "1.csv")[2]
    told = run(tmp_path / "scenes", "--out", tmp_path / "2.csv", "--progress")[2]
    assert "6/6" in told
    assert "unreadable=1" in told


@pytest.mark.parametrize("option", ["--batch", "--workers"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1025", ""])
def test_numbers_out_of_range_are_refused(capsys, option, value):
    with pytest.raises(SystemExit) as ended:
        command.main([".", "--out", "o.csv", option, value])
    assert ended.value.code == 2
    assert "expected a whole number from" in capsys.readouterr().err


def test_parquet_is_written_in_groups(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 10)
    make_pictures(tmp_path / "scenes", 25)
    out = tmp_path / "out.parquet"
    assert run(tmp_path / "scenes", "--out", out)[0] == 0
    assert pq.ParquetFile(out).metadata.num_row_groups == 3
    assert len(read_table(out)) == 25


def test_the_table_grows_while_rows_are_still_made(run, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "FILES_PER_PART", 4)
    paths = make_pictures(tmp_path / "scenes", 12)
    keep, early = journal.Journal.persist, Event()

    def keep_slowly(self: journal.Journal, number: int, lines: list[bytes]) -> None:
        if number == 2:
            assert early.wait(TIMEOUT_S), "the first rows are in the table before the last are made"
        keep(self, number, lines)

    def write(stream: IO[bytes], lines: Iterable[bytes], _about: object) -> None:
        for number, line in enumerate(lines):
            stream.write(line)
            if number == 7:
                early.set()

    monkeypatch.setattr(journal.Journal, "persist", keep_slowly)
    monkeypatch.setattr(command, "writer_for", lambda _: write)
    out = tmp_path / "out.jsonl"
    assert run(tmp_path / "scenes", "--out", out)[0] == 0
    assert [row["path"] for row in read_table(out)] == list(map(str, paths))


def test_what_keeps_the_table_from_being_written_is_said_and_the_rows_stay(run, tmp_path, monkeypatch):
    make_pictures(tmp_path / "scenes", 5)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out.jsonl"
    with monkeypatch.context() as patched:
        patched.setattr(command, "writer_for", lambda _: full)
        code, _, told = run(tmp_path / "scenes", "--out", out)
    assert (code, out.exists()) == (1, False)
    assert "No space left on device" in told
    code, _, told = run(tmp_path / "scenes", "--out", out)
    assert code == 0
    assert "Going on: 5 of 5 files are done." in told
    assert len(read_table(out)) == 5
