"""Which way up a picture is, by its EXIF or XMP data; nothing else of them is read."""

from __future__ import annotations

import re
import struct

UPRIGHT = 1
SIDEWAYS = frozenset((5, 6, 7, 8))
"""Orientations that swap width and height."""

_EXIF_START = re.compile(rb"(?:Exif\0\0){0,2}")
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_ORIENTATION = 0x0112
# Formats of one value by the type that EXIF has for it: short, long and their signed kin.
_TYPES = {3: "H", 4: "L", 8: "h", 9: "l"}


def orientation_of(exif: bytes, xmp: bytes) -> int:
    """The orientation, 1 to 8 as EXIF counts them; of other numbers no turn is known.

    Broken data count as none.

    Args:
        exif: EXIF data, with or without the words `Exif` before them.
        xmp: XMP data, used if EXIF does not say.
    """
    try:
        found = _in_exif(exif)
    except struct.error:  # cut short
        found = None
    if found is None and (written := _XMP_ORIENTATION.search(xmp)):
        found = int(written[1])
    return UPRIGHT if found is None else found


def _in_exif(exif: bytes) -> int | None:
    """The value of the tag in the first directory; struct.error where the data are cut short."""
    start = _EXIF_START.match(exif)
    at = start.end() if start else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[at : at + 2])
    if order is None:
        return None
    (place,) = struct.unpack_from(order + "L", exif, at + 4)
    (count,) = struct.unpack_from(order + "H", exif, at + place)
    first = at + place + 2
    wanted = struct.pack(order + "H", _ORIENTATION)
    for entry in range(first, first + 12 * count, 12):
        if exif[entry : entry + 2] == wanted:
            kind, values = struct.unpack_from(order + "HL", exif, entry + 2)
            if values == 1 and kind in _TYPES:
                return int(struct.unpack_from(order + _TYPES[kind], exif, entry + 8)[0])
    return None
