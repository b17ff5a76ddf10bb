"""Mutated pictures: files of every format whose lengths, counts, offsets and parts are changed, by a seed."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

_SIDE = 24
_MOST_BYTES = 100_000
_PNG = b"\x89PNG\r\n\x1a\n"
_CONTAINERS = (b"moov", b"trak", b"iprp", b"ipco", b"dinf")


class Number(NamedTuple):
    """A number that the file's structure hangs on: where it stands, its number of bytes, and their order."""

    at: int
    size: int
    big: bool


@dataclass
class Structure:
    """What is known of a file: the numbers in it, and the parts that it consists of, as start and end."""

    numbers: list[Number] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)


def make_seeds() -> dict[str, list[bytes]]:
    """Whole files of every format that the service reads, by format: what is mutated."""
    generator = np.random.default_rng(0)
    grey = Image.fromarray(generator.integers(0, 256, (_SIDE, _SIDE), np.uint8))
    colour, clear = grey.convert("RGB"), grey.convert("RGBA")
    frames: dict[str, Any] = {"save_all": True, "append_images": [colour, grey.convert("RGB")]}
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    tiff = [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "jpeg"}]
    bmp = _save(grey, "BMP")
    return {
        "PNG": [
            *(_save(picture, "PNG") for picture in (grey, clear, grey.convert("P"), grey.convert("1"))),
            _save(Image.fromarray(generator.integers(0, 4096, (_SIDE, _SIDE), np.uint16)), "PNG", exif=exif),
            _save(colour, "PNG", **frames),
        ],
        "JPEG": [
            _save(grey, "JPEG", exif=exif),
            _save(colour, "JPEG", progressive=True, icc_profile=bytes(300), comment=b"a"),
            _save(colour.convert("CMYK"), "JPEG", restart_marker_rows=1),
        ],
        "GIF": [_save(grey, "GIF"), _save(colour, "GIF", **frames, transparency=0)],
        "WEBP": [
            _save(colour, "WEBP", exif=exif),
            _save(clear, "WEBP", lossless=True),
            _save(colour, "WEBP", **frames),
        ],
        "TIFF": [
            *(_save(colour, "TIFF", exif=exif, **options) for options in tiff),
            _save(grey, "TIFF", big_tiff=True, **{**frames, "append_images": [grey]}),
            _save(grey.convert("1"), "TIFF", compression="group4"),
        ],
        "BMP": [bmp, _save(colour, "BMP"), _run_lengths(bmp)],
    }


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The file with one to four changes; most keep to its structure."""
    for _ in range(chance.randint(1, 4)):
        change = chance.choices(_CHANGES, _WEIGHTS)[0]
        data = change(data, chance)[:_MOST_BYTES]
    if data.startswith(_PNG) and chance.random() < 0.8:
        data = _with_checksums(data)
    return data


def structure_of(data: bytes) -> Structure:
    """The numbers and parts of a file, as far as it still has the structure of its format."""
    found = Structure()
    try:
        for start, read in _READERS.items():
            if data.startswith(start):
                read(data, found)
        if data[4:8] == b"ftyp":
            _read_boxes(data, 0, len(data), found)
    except (struct.error, IndexError, OverflowError):
        pass  # from here on the mutations have left no structure
    return found


def _save(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _run_lengths(bmp: bytes) -> bytes:
    """The same picture in runs of one pixel."""
    start = int.from_bytes(bmp[10:14], "little")
    rows = b"".join(
        b"".join(b"\1" + bmp[at : at + 1] for at in range(row, row + _SIDE)) + b"\0\0"
        for row in range(start, start + _SIDE**2, _SIDE)
    )
    return bmp[:30] + struct.pack("<L", 1) + bmp[34:start] + rows + b"\0\1"


def _read_png(data: bytes, found: Structure) -> None:
    at = len(_PNG)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.numbers.append(Number(at, 4, big=True))
        if data[at + 4 : at + 8] in (b"IHDR", b"fcTL", b"acTL"):
            found.numbers += [Number(place, 4, big=True) for place in range(at + 8, at + 16, 4)]
            found.numbers += [
                Number(place, 1, big=True) for place in range(at + 16, at + 8 + min(length, 26))
            ]
        found.parts.append((at, at + 12 + length))
        at += 12 + length


def _read_jpeg(data: bytes, found: Structure) -> None:
    at = 2
    while data[at] == 0xFF:
        length = struct.unpack_from(">H", data, at + 2)[0]
        found.numbers += [Number(at + 1, 1, big=True), Number(at + 2, 2, big=True)]
        found.numbers += [Number(place, 1, big=True) for place in range(at + 4, at + 2 + min(length, 24))]
        found.parts.append((at, at + 2 + length))
        if data[at + 1] == 0xDA:
            break
        at += 2 + length


def _read_gif(data: bytes, found: Structure) -> None:
    found.numbers += [Number(6, 2, big=False), Number(8, 2, big=False), Number(10, 1, big=False)]
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while data[at] != 0x3B:
        start = at
        if data[at] == 0x2C:
            found.numbers += [Number(place, 2, big=False) for place in range(at + 1, at + 9, 2)]
            found.numbers += [Number(at + 9, 1, big=False), Number(at + 10, 1, big=False)]
            at += 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
        else:
            at += 2
        while data[at]:
            found.numbers.append(Number(at, 1, big=False))
            at += 1 + data[at]
        at += 1
        found.parts.append((start, at))


def _read_webp(data: bytes, found: Structure) -> None:
    found.numbers.append(Number(4, 4, big=False))
    at = 12
    while at + 8 <= len(data):
        length = struct.unpack_from("<L", data, at + 4)[0]
        found.numbers.append(Number(at + 4, 4, big=False))
        found.numbers += [Number(place, 1, big=False) for place in range(at + 8, at + 8 + min(length, 16))]
        end = at + 8 + length + (length & 1)
        found.parts.append((at, end))
        at = end


def _read_tiff(data: bytes, found: Structure) -> None:
    big, order = data[2] == 43, "<" if data.startswith(b"II") else ">"
    big_endian = order == ">"
    place, number, width = ("Q", 8, 20) if big else ("L", 2, 12)
    offset_bytes = struct.calcsize("<" + place)
    found.numbers.append(Number(8 if big else 4, offset_bytes, big_endian))
    at = struct.unpack_from(order + place, data, 8 if big else 4)[0]
    while at:
        count = struct.unpack_from(order + {8: "Q", 2: "H"}[number], data, at)[0]
        found.numbers.append(Number(at, number, big_endian))
        entry = at + number
        for _ in range(min(count, 100)):
            found.numbers += [Number(entry, 2, big_endian), Number(entry + 2, 2, big_endian)]
            found.numbers += [
                Number(entry + 4, offset_bytes, big_endian),
                Number(entry + 4 + offset_bytes, offset_bytes, big_endian),
            ]
            found.parts.append((entry, entry + width))
            entry += width
        found.numbers.append(Number(entry, offset_bytes, big_endian))
        following = struct.unpack_from(order + place, data, entry)[0]
        at = following if following > at else 0


def _read_bmp(data: bytes, found: Structure) -> None:
    places = {2: 4, 10: 4, 14: 4, 18: 4, 22: 4, 26: 2, 28: 2, 30: 4, 34: 4, 46: 4, 50: 4}
    found.numbers += [Number(at, size, big=False) for at, size in places.items()]
    start = struct.unpack_from("<L", data, 10)[0]
    found.numbers += [Number(at, 1, big=False) for at in range(start, min(len(data), start + 400))]
    found.parts += [(at, at + 2) for at in range(start, len(data) - 2, 2)]


def _read_boxes(data: bytes, start: int, end: int, found: Structure) -> None:
    at = start
    while at + 8 <= end:
        length, kind = struct.unpack_from(">L4s", data, at)
        found.numbers.append(Number(at, 4, big=True))
        found.parts.append((at, at + length))
        if kind in _CONTAINERS or kind == b"meta":
            _read_boxes(data, at + (12 if kind == b"meta" else 8), min(end, at + length), found)
        elif kind != b"mdat":
            found.numbers += [Number(place, 1, big=True) for place in range(at + 8, at + min(length, 60))]
        if length < 8:
            break
        at += length


_READERS: dict[bytes, Callable[[bytes, Structure], None]] = {
    _PNG: _read_png,
    b"\xff\xd8": _read_jpeg,
    b"GIF8": _read_gif,
    b"RIFF": _read_webp,
    b"II": _read_tiff,
    b"MM": _read_tiff,
    b"BM": _read_bmp,
}


def _change_numbers(data: bytes, chance: random.Random) -> bytes:
    numbers = structure_of(data).numbers
    if not numbers:
        return _flip_bits(data, chance)
    number = chance.choice(numbers)
    order: Literal["big", "little"] = "big" if number.big else "little"
    value = int.from_bytes(data[number.at : number.at + number.size], order)
    most: int = 256**number.size - 1
    values = [0, 1, most, most - 1, most // 2, most // 2 + 1, value - 1, value + 1, 2 * value, len(data)]
    values += [chance.randint(0, most), chance.randint(0, 300)]
    changed: int = min(max(0, chance.choice(values)), most)
    return data[: number.at] + changed.to_bytes(number.size, order) + data[number.at + number.size :]


def _change_parts(data: bytes, chance: random.Random) -> bytes:
    parts = [(start, end) for start, end in structure_of(data).parts if start < end <= len(data)]
    if not parts:
        return _flip_bits(data, chance)
    start, end = chance.choice(parts)
    part = data[start:end]
    kind = chance.randrange(4)
    if kind == 0:  # without it
        return data[:start] + data[end:]
    if kind == 1:  # again and again
        return data[:end] + part * chance.choice((1, 2, 50, 5000)) + data[end:]
    other_start, other_end = chance.choice(parts)
    if kind == 2:  # another in its place
        return data[:start] + data[other_start:other_end] + data[end:]
    at = chance.choice((other_start, other_end))  # one more somewhere else
    return data[:at] + part + data[at:]


def _flip_bits(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    more = chance.randbytes(chance.choice((1, 7, 300)))
    return data[:at] + chance.choice((more, b"\xff" * len(more), bytes(len(more)))) + data[at:]


_CHANGES = (_change_numbers, _change_parts, _flip_bits, _cut, _insert)
_WEIGHTS = (10, 5, 3, 1, 1)


def _with_checksums(data: bytes) -> bytes:
    return _PNG + b"".join(_chunks(data))


def _chunks(data: bytes) -> Iterator[bytes]:
    """The chunks with the checksums that they should have; else only checksums would be tested."""
    at = len(_PNG)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        content = data[at + 4 : at + 8 + length]
        if len(content) < 4 + length:
            break
        yield data[at : at + 4] + content + struct.pack(">L", zlib.crc32(content))
        at += 12 + length
    yield data[at:]
