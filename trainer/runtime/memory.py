"""Settings of glibc's malloc: training on the CPU frees and allocates the same large blocks in every step."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_TUNABLE = "glibc.malloc.hugetlb"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_THRESHOLD_BYTES = 2**30


def keep_freed_memory() -> None:
    """Raise malloc's thresholds for returning memory to the system; does nothing without glibc.

    Otherwise malloc returns every block, and the system maps it again page by page.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return
    for threshold in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
        if not mallopt(threshold, _THRESHOLD_BYTES):
            raise RuntimeError(f"malloc refuses a threshold of {_THRESHOLD_BYTES} bytes for {threshold}")


def ask_for_huge_pages(system: Path = _HUGE_PAGES) -> None:
    """Restart this program with glibc requesting huge pages, where the system gives them on request only.

    With pages of 2 MB instead of 4 kB the processor translates fewer addresses. glibc reads its tunables
    before Python runs. So call this first; when it restarts the program, it does not return. It does nothing
    where huge pages are always or never given, or where GLIBC_TUNABLES names them already.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    try:
        on_request = "[madvise]" in system.read_text(encoding="utf-8")
    except OSError:  # not Linux, or built without them
        return
    if on_request and _TUNABLE not in tunables:
        os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, (tunables, f"{_TUNABLE}=1")))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
