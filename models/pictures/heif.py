"""HEIC, the format of phones; read if the extra `heif` is installed.

Its library, libheif, itself refuses files that announce less than they decode to, or have too many boxes.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

FORMAT = "HEIF"
MEDIA_TYPES = ("image/heic", "image/heif")
NOT_INSTALLED = "HEIC is read with the extra `heif` alone, which is not installed: pip install '.[heif]'"

_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))


def is_heif(data: bytes) -> bool:
    """Whether the bytes begin as a HEIC or HEIF file does (ISO/IEC 23008-12, 10)."""
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS


@cache
def is_installed() -> bool:
    """Whether such files can be read; this loads no library."""
    return find_spec("pillow_heif") is not None


@cache
def register() -> None:
    """Let Pillow read them; only if it is installed."""
    import pillow_heif  # noqa: PLC0415 - is needed for this format alone

    pillow_heif.register_heif_opener(thumbnails=False, aux_images=False, depth_images=False, decode_threads=1)
