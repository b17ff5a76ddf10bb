"""Reduce a posted file to the parts that its pixels need, before any decoder sees it.

Decoders read all texts, profiles and tags of a file, some in time that grows with the square of their number.
This service needs few of them, and removes the others before decoding.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

from service.pictures.guards import GuardError, PartsCounter

_MAX_TEXT_BYTES = 2**20
_MAX_TABLES_BYTES = 2**15  # of a JPEG; 4 tables for quantisation and 8 for Huffman codes take 3 kB


class Parts(NamedTuple):
    """A file with only the parts that its pixels need, and its metadata."""

    data: bytes
    exif: bytes = b""
    xmp: bytes = b""
    significant_bits: int | None = None  # of grey, where the file says it


def parts_of(data: bytes) -> Parts:
    """The parts of a file that its pixels need; bytes of no known format stay as they are.

    Raises:
        GuardError: the file has far more parts than its length explains, or not those that it needs.
        struct.error: the file ends within a part.
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return Parts(_gif(data))
    if data.startswith((b"II*\0", b"II\0*", b"II+\0", b"MM\0*", b"MM*\0")):
        return Parts(_tiff(data))
    if data.startswith(b"BM"):
        _check_bmp(data)
    return Parts(data)


_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
_PNG_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_CHUNK = struct.Struct(">L4s")


def _png(data: bytes) -> Parts:
    """Chunks (PNG specification, 5.3) that hold the picture; of an animation, that is its default image."""
    parts = PartsCounter(data)
    kept = [_PNG]
    exif = profile = xmp = b""
    bits = None
    at, kind = len(_PNG), b""
    while kind != b"IEND" and len(data) - at >= _CHUNK.size:
        parts.count()
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + 12 + length
        content = data[at + 8 : end - 4] if kind not in _PNG_PIXELS else b""
        if kind in _PNG_PIXELS:
            kept.append(data[at:end])
        elif kind == b"eXIf":
            exif = content
        elif kind == b"sBIT" and data[24:26] == b"\x10\0":  # 16 bits of grey
            bits = content[0] if content else None
        elif kind in _PNG_TEXTS and content.startswith(b"XML:com.adobe.xmp\0"):
            xmp = content
        elif kind in _PNG_TEXTS and content.startswith(b"Raw profile type exif\0"):
            profile = content
        at = end
    if not any(chunk[4:8] == b"IDAT" for chunk in kept):
        raise GuardError("the picture is damaged or cut short: there is no image data in the PNG")
    return Parts(b"".join(kept), exif or _profile(profile), _png_text(xmp), bits)


def _png_text(content: bytes) -> bytes:
    """The text of an iTXt chunk, as far as it is of a sane length."""
    _, _, rest = content.partition(b"\0")
    text = rest[2:].split(b"\0", 2)[-1]
    return _inflated(text) if rest[:1] == b"\1" else text


def _profile(content: bytes) -> bytes:
    """The bytes of a profile as ImageMagick writes it: hexadecimal digits behind three lines."""
    _, _, text = content.partition(b"\0")
    if text.startswith(b"\0"):  # the compression's method
        text = _inflated(text[1:])
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii", "replace"))
    except ValueError:
        return b""  # broken metadata count as none


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, _MAX_TEXT_BYTES)
    except zlib.error:
        return b""


# Fill bytes before a marker are allowed; 0xFF with a zero behind it is no marker.
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_JPEG_TABLES = frozenset((*range(0xC0, 0xC8), *range(0xC9, 0xD0), 0xDB, 0xDD))
_JPEG_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_START_OF_SCAN = 0xDA
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


def _jpeg(data: bytes) -> Parts:
    """The segments (ITU-T T.81, B.1.1) with tables and frames, and all from the first scan on."""
    parts = PartsCounter(data)
    kept = [data[:2]]
    exif: list[bytes] = []
    xmp = b""
    at, tables = 2, 0
    while found := _JPEG_MARKER.search(data, at):
        parts.count()
        marker, at = found[1][0], found.end()
        if marker in _JPEG_WITHOUT_LENGTH:
            continue
        if marker == _START_OF_SCAN:
            kept.append(data[at - 2 :])
            return Parts(b"".join(kept), b"".join(exif), xmp)
        (length,) = struct.unpack_from(">H", data, at)
        content = data[at + 2 : at + length]
        if marker in _JPEG_TABLES or _says_colours(marker, content):
            segment = data[at - 2 : at + length]
            kept.append(segment)
            tables += len(segment)
        elif marker == 0xE1 and content.startswith(_EXIF):
            exif.append(content[len(_EXIF) :])
        elif marker == 0xE1 and content.startswith(_XMP):
            xmp = content
        elif not (0xE0 <= marker <= 0xEF or 0xDC <= marker <= 0xDF or marker == 0xFE):
            break  # a marker that means nothing here, the picture's end among them
        if tables > _MAX_TABLES_BYTES:
            raise GuardError(f"expected at most {_MAX_TABLES_BYTES} bytes of tables in a JPEG, got more")
        at += length
    raise GuardError("the picture is damaged or cut short: there is no scan in the JPEG")


def _says_colours(marker: int, content: bytes) -> bool:
    """Whether the segment, JFIF's or Adobe's, says in which colours the picture is."""
    return (marker == 0xE0 and content.startswith(b"JFIF\0")) or (
        marker == 0xEE and content.startswith(b"Adobe")
    )


def _gif(data: bytes) -> bytes:
    """The screen, the graphic control of the first picture (GIF89a, 23), and all from there on."""
    parts = PartsCounter(data)
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    screen, control = data[:at], b""
    while at < len(data):
        parts.count()
        block = data[at]
        if block == 0x2C:
            return screen + control + data[at:]
        if block == 0x3B:  # the end
            break
        at += 1
        if block != 0x21:  # Pillow skips what is no block as well
            continue
        label, at = data[at : at + 1], at + 1
        first = at
        while at < len(data) and data[at]:
            parts.count()
            at += 1 + data[at]
        if label == b"\xf9" and at > first:
            control = b"\x21\xf9" + data[first : first + 1 + data[first]] + b"\0"
        at += 1
    raise GuardError("the picture is damaged or cut short: there is no picture in the GIF")


# Baseline and extension tags (TIFF 6.0) that say how pixels are laid out, coded, coloured and turned; 281 and
# 341 are the largest values, 347 a JPEG's tables, 512 to 521 those of old ones, 700 is XMP.
_TIFF_TAGS = frozenset(
    (
        *(256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 281, 284, 292, 293, 317, 320, 322, 323),
        *(324, 325, 332, 333, 334, 336, 338, 339, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521),
        *(529, 530, 531, 532, 700, 50674),
    )
)
_TIFF_PLACES = frozenset((273, 279, 324, 325))
_TIFF_BYTES = frozenset((1, 2, 6, 7))  # types of one byte, which are read at once
_COMPRESSION, _SHORT = 259, 3
_MAX_STRIPS = 1500
_MAX_VALUES = 1000


def _tiff(data: bytes) -> bytes:
    """The same file, but with a directory (TIFF 6.0, 2) of the tags above, and no other page."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2] == 43
    place, number = (order + "Q", order + "Q") if big else (order + "L", order + "H")
    entry = struct.Struct(order + ("HHQ8s" if big else "HHL4s"))
    (at,) = struct.unpack_from(place, data, 8 if big else 4)
    (count,) = struct.unpack_from(number, data, at)
    PartsCounter(data).count(count)
    first = at + struct.calcsize(number)
    end = first + count * entry.size
    if end > len(data):
        raise GuardError("the picture is damaged or cut short: the directory of the TIFF is incomplete")
    entries: dict[int, bytes] = {}
    values: dict[int, int] = {}
    raw = True
    for start in range(first, end, entry.size):
        tag, kind, values_of_it, value = entry.unpack_from(data, start)
        if tag in _TIFF_TAGS and tag not in entries:
            entries[tag] = data[start : start + entry.size]
            values[tag] = 0 if kind in _TIFF_BYTES else values_of_it
            if tag == _COMPRESSION:
                size = 2 if kind == _SHORT else 4
                raw = int.from_bytes(value[:size], "little" if order == "<" else "big") == 1
    for tag, many in values.items():
        # Strips that are not compressed are read in Python, one by one.
        most = _MAX_STRIPS + len(data) // 256 if tag in _TIFF_PLACES else _MAX_VALUES
        if many > most and (raw or tag not in _TIFF_PLACES):
            raise GuardError(f"expected at most {most} values as tag {tag} of a TIFF, got {many}")
    # In place of the old one: data that other entries point to must not move.
    directory = struct.pack(number, len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    directory += bytes(struct.calcsize(place))
    return data[:at] + directory + data[at + len(directory) :]


_BMP_RUN_LENGTHS = frozenset((1, 2))
_MAX_COLOURS = 256
_MAX_RUNS = 20_000


def _check_bmp(data: bytes) -> None:
    """Raise GuardError for more colours than indices reach, or for many runs: each is read in Python."""
    header_bytes = struct.unpack_from("<L", data, 14)[0]
    if header_bytes < 40:
        return
    bits, coding = struct.unpack_from("<HL", data, 28)
    (colours,) = struct.unpack_from("<L", data, 46)
    if bits <= 8 and colours > _MAX_COLOURS:
        raise GuardError(f"expected at most {_MAX_COLOURS} colours in the palette of a BMP, got {colours}")
    if coding in _BMP_RUN_LENGTHS:
        _check_runs(data, struct.unpack_from("<L", data, 10)[0], nibbles=coding == 2)


def _check_runs(data: bytes, at: int, *, nibbles: bool) -> None:
    """Count the runs as a decoder walks over them: a count and a value, or a zero and an escape."""
    runs = 0
    while at + 1 < len(data):
        runs += 1
        if runs > _MAX_RUNS:
            raise GuardError(f"expected at most {_MAX_RUNS} runs in a run-length encoded BMP, got more")
        count, value = data[at], data[at + 1]
        at += 2
        if count == 0 and value > 2:  # so many values as they are, to a whole number of 16 bits
            stored = (value + 1) // 2 if nibbles else value
            at += stored + (stored & 1)
        elif count == 0 and value == 2:  # a step to the right and upwards
            at += 2
        elif count == 0 and value == 1:  # the end
            return
