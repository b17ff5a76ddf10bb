"""Make glibc keep freed memory: training on the CPU frees and takes the same large blocks at every step."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_THRESHOLD_BYTES = 2**30


def keep_freed_memory() -> bool:
    """Raise malloc's thresholds for giving memory back; False where the C library is not glibc.

    Without this every block is handed back to the system and faulted in again, page by page.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _THRESHOLD_BYTES) and mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES))
