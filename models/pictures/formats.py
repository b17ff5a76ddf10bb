"""The formats of pictures that are read, by Pillow's names, and how names of such files end."""

from __future__ import annotations

from PIL import Image

from models.pictures import heif

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def formats() -> tuple[str, ...]:
    """The formats that are read here: HEIC only if its library is installed."""
    if not heif.is_installed():
        return FORMATS
    heif.register()
    return (*FORMATS, heif.FORMAT)


def suffixes() -> frozenset[str]:
    """How names of pictures end, in lower case, with their dot."""
    known = formats()
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in known)
