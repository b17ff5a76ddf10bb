"""One command runs every benchmark, lists them all, and the documents name no other way."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.documents import ROOT


def test_without_a_name_it_lists_them_all_at_once() -> None:
    program = "import runpy, sys; runpy.run_module('benchmarks', run_name='__main__')"
    program += "; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("False\n")  # the list need not wait for torch
    for name, one in BENCHMARKS.items():
        assert f"{name}  {one.says}\n" in done.stdout
        assert one.costs in done.stdout


def test_another_name_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"benchmark: expected one of figures, .*, got 'torchserve'"):
        main(["torchserve"])


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "tables"])
def test_each_tells_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m benchmarks {name} ")
    assert import_module(f"benchmarks.{BENCHMARKS[name].module}").main


def test_an_error_that_says_what_was_expected_ends_it_with_its_sentence() -> None:
    with pytest.raises(SystemExit, match="error: --run: expected a folder that is not there yet"):
        main(["gpu", "--trial", "--run", str(ROOT)])


def test_the_documents_name_commands_that_there_are() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*/**/*.md")]
    pages = [page for page in pages if not {".venv", "node_modules", "decisions"} & {*page.parts}]
    named = set()
    for page in pages:
        text = " ".join(page.read_text(encoding="utf-8").split())
        assert "python -m benchmarks." not in text, page
        named |= set(re.findall(r"python -m benchmarks (\w+)", text))
    assert named <= {*BENCHMARKS, "NAME"}
    assert set(BENCHMARKS) <= named
