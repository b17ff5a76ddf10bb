"""What glibc does with memory: training on the CPU frees and takes the same large blocks at every step."""

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
    """Raise malloc's thresholds for giving memory back; where the C library is not glibc, nothing is done.

    Without this every block is handed back to the system and faulted in again, page by page.
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
    """Start this program anew with glibc asking for huge pages, where the system gives them on request alone.

    With pages of 2 MB in place of 4 kB the processor translates fewer addresses. glibc reads its tunables
    before Python runs: this is to be called before all else, and does not return where it starts anew. Where
    huge pages come unasked or never, or where GLIBC_TUNABLES names them, it does nothing.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    try:
        on_request = "[madvise]" in system.read_text(encoding="utf-8")
    except OSError:  # not Linux, or built without them
        return
    if on_request and _TUNABLE not in tunables:
        os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, (tunables, f"{_TUNABLE}=1")))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
