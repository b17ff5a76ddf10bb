"""Files that are made to do harm, small on the wire and large or slow where they are read carelessly."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image

from tests.service.fakes import encode

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_MIB = 2**20


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(width: int, height: int, *chunks: bytes, colour: int = 0, depth: int = 8) -> bytes:
    """A black PNG with chunks of one's own."""
    channels = {0: 1, 2: 3, 6: 4}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + width * channels * depth // 8)
    pixels = b"".join(packer.compress(row * rows) for rows in _portions(height, _MIB // len(row) + 1))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    image_data = chunk(b"IDAT", pixels + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + image_data + chunk(b"IEND", b"")


def inflating(mebibytes: int) -> bytes:
    """Zeros, a thousandth of their size."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(_MIB)) for _ in range(mebibytes)) + packer.flush()


def tiff_with_a_tile(side: int) -> bytes:
    """A TIFF of 10 x 10 px in one tile of that side, deflated."""
    content = inflating(64)
    at = 8 + 2 + 12 * 11 + 4
    tags = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (277, 1), (284, 1)]
    tags += [(322, side), (323, side), (324, at), (325, len(content))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + content


def tiff_of_tags(count: int, each: int) -> bytes:
    """A TIFF whose tags all point to the same bytes."""
    entries = b"".join(struct.pack("<HHII", 300 + tag, 7, each, 8) for tag in range(count))
    return struct.pack("<2sHIH", b"II", 42, 8, count) + entries + bytes(4 + each)


def jpeg_of_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG that repeats its last scan."""
    data = encode(Image.new("L", (side, side)), "JPEG", progressive=True)
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[start:end] * scans + data[end:]


def exif_of_tags(count: int, each: int) -> bytes:
    """EXIF data whose tags all point to the same bytes."""
    entries = b"".join(struct.pack("<HHII", 0x9000 + tag, 7, each, 8) for tag in range(count))
    return struct.pack("<2sHIH", b"II", 42, 8, count) + entries + bytes(4 + each)


def jpeg_with_exif(exif: bytes) -> bytes:
    """A JPEG with EXIF data over as many segments as it takes."""
    data = encode(Image.new("L", (10, 10)), "JPEG")
    portions = [exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    segments = [b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in portions]
    return data[:2] + b"".join(segments) + data[2:]


def jpeg_of_growing_exif(size: int, segments: int) -> bytes:
    """A JPEG with EXIF data of that size, and behind them so many segments that add a byte each."""
    data = jpeg_with_exif(bytes(size))
    tables = data.index(b"\xff\xdb")
    return data[:tables] + (b"\xff\xe1\0\x09Exif\0\0a" * segments) + data[tables:]


def _tag(entry: bytes) -> bytes:
    return entry[:2][::-1]


def tiff_painted_anew(side: int, strips: int) -> bytes:
    """An uncompressed grey TIFF of which every two strips are the whole picture."""
    at = 8 + side * side
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (277, 1), (278, side - 1)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    entries += [struct.pack("<HHII", tag, 4, strips, at) for tag in (273, 279)]
    entries.sort(key=_tag)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    start = struct.pack("<2sHI", b"II", 42, at + 4 * strips)
    return start + bytes(side * side) + struct.pack("<I", 8) * strips + directory


def gif_of_comments(mebibytes: int) -> bytes:
    """A GIF with millions of comments of one letter."""
    data = encode(Image.new("L", (10, 10)), "GIF")
    start = data.index(b"\x2c")
    return data[:start] + b"\x21\xfe\x01a\x00" * (mebibytes * _MIB // 5) + data[start:]


def gif_announcing(width: int, height: int, *, frame: bool) -> bytes:
    """A GIF whose screen, or whose first frame, is said to be that large."""
    data = bytearray(encode(Image.new("L", (10, 10)), "GIF"))
    at = data.index(b"\x2c") + 5 if frame else 6
    data[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def webp_announcing(width: int, height: int) -> bytes:
    """An animated WebP whose canvas is said to be that large."""
    frames = [Image.new("RGB", (10, 10), (200 * step, 0, 0)) for step in range(2)]
    data = bytearray(encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return bytes(data)


def blank(kind: str, mode: str = "L", size: tuple[int, int] = (6000, 4000), **options: object) -> bytes:
    """An empty picture, which compresses well."""
    return encode(Image.new(mode, size), kind, **options)


def noise(kind: str, side: int = 40, seed: int = 0) -> bytes:
    """A picture that does not compress."""
    return encode(np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8), kind)


def _portions(whole: int, most: int) -> list[int]:
    return [min(most, whole - at) for at in range(0, whole, most)]
