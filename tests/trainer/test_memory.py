"""Freed memory is kept; huge pages are asked for once, by a program that keeps its arguments."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from pathlib import Path
from trainer.runtime.memory import ask_for_huge_pages
print("started", *sys.argv[1:], flush=True)
ask_for_huge_pages(Path(sys.argv[1]))
print("goes on with", os.environ.get("GLIBC_TUNABLES"))
"""


FAULTS = """
import resource, sys
from trainer.runtime.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(2**26)  # is freed at once
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these thresholds")
def test_memory_that_is_freed_and_taken_again_is_not_faulted_in_again() -> None:
    def faults(how: str) -> list[int]:
        # Pages of 4 kB, for with huge ones there is little to be counted.
        environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
        command = [sys.executable, "-c", FAULTS, how]
        said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        return [int(line) for line in said.splitlines()]

    kept, given_back = faults("keep"), faults("give back")
    assert min(given_back) > 1000
    assert max(kept[1:]) < 100


def _said_by_a_program(system: Path, tunables: str | None) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    if tunables is not None:
        environment["GLIBC_TUNABLES"] = tunables
    command = [sys.executable, "-c", PROGRAM, str(system), "an argument"]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout.splitlines()


@pytest.fixture(params=["always [madvise] never"])
def system(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """What the kernel says of huge pages, where it says it."""
    path = tmp_path / "enabled"
    path.write_text(f"{request.param}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.perturb=0", "glibc.malloc.perturb=0:glibc.malloc.hugetlb=1"),
    ],
)
def test_the_program_starts_anew_once_and_keeps_its_arguments(
    system: Path, before: str | None, after: str
) -> None:
    started = f"started {system} an argument"
    assert _said_by_a_program(system, before) == [started, started, f"goes on with {after}"]


def test_who_has_set_the_tunable_is_left_alone(system: Path) -> None:
    said = _said_by_a_program(system, "glibc.malloc.hugetlb=0")
    assert said == [f"started {system} an argument", "goes on with glibc.malloc.hugetlb=0"]


@pytest.mark.parametrize("system", ["[always] madvise never", "always madvise [never]"], indirect=True)
def test_where_asking_changes_nothing_nobody_asks(system: Path) -> None:
    assert _said_by_a_program(system, None) == [f"started {system} an argument", "goes on with None"]


def test_where_the_system_has_none_nobody_asks(tmp_path: Path) -> None:
    system = tmp_path / "missing"
    assert _said_by_a_program(system, None) == [f"started {system} an argument", "goes on with None"]
