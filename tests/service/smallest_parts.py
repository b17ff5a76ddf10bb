"""Files of 64 kB that consist of the smallest parts that their format knows: little to send, much to read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.service.fakes import encode
from tests.service.hostile import chunk, exif_of_tags, inflating, jpeg_of_scans, png

SIZE = 2**16


def _filled(before: bytes, part: bytes, after: bytes) -> bytes:
    """As many parts as fit into the size."""
    return before + part * ((SIZE - len(before) - len(after)) // len(part)) + after


def _png(part: bytes, *, behind: bool = False) -> bytes:
    data = png(9, 9)
    at = data.index(b"IEND") - 4 if behind else data.index(b"IDAT") - 4
    return _filled(data[:at], part, data[at:])


def _png_of_inflating_texts() -> bytes:
    return _png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20 - 1), 9)))


def _png_of_image_data(size: int) -> bytes:
    """An uncompressed picture whose data come in pieces of so many bytes."""
    side = 254 if size > 100 else 60
    data = encode(Image.effect_noise((side, side), 90), compress_level=0)
    start = data.index(b"IDAT") - 4
    image_data = b""
    at = start
    while data[at + 4 : at + 8] == b"IDAT":
        length = int.from_bytes(data[at : at + 4])
        image_data += data[at + 8 : at + 8 + length]
        at += 12 + length
    pieces = [chunk(b"IDAT", image_data[at : at + size]) for at in range(0, len(image_data), size)]
    return data[:start] + b"".join(pieces) + data[at:]


def _jpeg(part: bytes, *, at: bytes = b"\xff\xc0") -> bytes:
    data = encode(Image.new("L", (16, 16)), "JPEG")
    place = data.index(at)
    return _filled(data[:place], part, data[place:])


def _segment(marker: int, content: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _growing_exif() -> bytes:
    large = _segment(0xE1, b"Exif\0\0" + bytes(30_000))
    data = encode(Image.new("L", (16, 16)), "JPEG")
    return _filled(data[:2] + large, _segment(0xE1, b"Exif\0\0"), data[2:])


def _gif(part: bytes) -> bytes:
    data = encode(Image.new("L", (10, 10)), "GIF")
    at = data.index(b"\x2c")
    return _filled(data[:at], part, data[at:])


def _gif_of_image_blocks() -> bytes:
    """The picture's data in blocks of one byte."""
    data = encode(Image.effect_noise((150, 150), 90), "GIF")
    start = at = data.index(b"\x2c", 13 + 768) + 11
    image_data = b""
    while data[at]:
        image_data += data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
    pieces = b"".join(b"\x01" + image_data[i : i + 1] for i in range(len(image_data)))
    return data[:start] + pieces + b"\0;"


def _webp(part: bytes, *, in_front: bool) -> bytes:
    picture = encode(Image.new("L", (10, 10)), "WEBP")[12:]
    head = b"VP8X" + struct.pack("<IIHBHB", 10, 0, 9, 0, 9, 0)
    body = _filled(head, part, picture) if in_front else _filled(head + picture, part, b"")
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _webp_of_frames() -> bytes:
    picture = encode(Image.new("L", (10, 10)), "WEBP", lossless=True)[12:]
    frame = b"\0\0\0\0\0\0" + struct.pack("<HBHBI", 9, 0, 9, 0, 100)[:6] + b"\x64\0\0\0" + picture
    head = b"VP8X" + struct.pack("<IIHBHB", 10, 2, 9, 0, 9, 0) + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    body = _filled(head, b"ANMF" + struct.pack("<I", len(frame)) + frame, b"")
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


_Entry = tuple[int, int, int, int]


def tiff(
    entries: Callable[[int], list[_Entry]] | None = None,
    *,
    count: int = 0,
    compression: int = 8,
    content: bytes = b"",
    **changed: int,
) -> bytes:
    """A grey TIFF of 8 x 8 px with more entries in its directory, and with more content.

    `entries` is given the place of the content; `changed` are values of the directory by their tag, as t256.
    """
    pixels = zlib.compress(bytes(64)) if compression == 8 else bytes(64)
    tags = {256: 8, 257: 8, 258: 8, 259: compression, 262: 1, 273: 8, 277: 1, 278: 8, 279: len(pixels)}
    tags |= {int(name[1:]): value for name, value in changed.items()}
    at = 8 + len(pixels)
    more = (entries or (lambda _at: []))(at)
    given = {entry[0] for entry in more}
    whole = [(tag, 4, 1, value) for tag, value in tags.items() if tag not in given] + more
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(whole, key=lambda one: one[0]))
    start = struct.pack("<2sHI", b"II", 42, at + len(content))
    return start + pixels + content + struct.pack("<H", len(whole)) + directory + bytes(4)


def _tiff_of_strips(compression: int) -> bytes:
    """A picture of one column in which every row is a strip, all of them the same bytes."""
    strips = 5000
    content = struct.pack("<I", 8) * strips + struct.pack("<I", 64) * strips

    def entries(at: int) -> list[_Entry]:
        return [(273, 4, strips, at), (279, 4, strips, at + 4 * strips)]

    return tiff(entries, content=content, compression=compression, t256=1, t257=strips, t278=1)


def _tiff_of_tiles() -> bytes:
    """A picture of one column in tiles that are as wide as may be."""
    tiles, tile = 60, zlib.compress(bytes(2**20 * 16), 9)
    content = tile + struct.pack("<I", 8 + 11) * tiles + struct.pack("<I", len(tile)) * tiles

    def entries(at: int) -> list[_Entry]:
        content_at = at + len(tile)
        tile_at = [(322, 4, 1, 2**20), (323, 4, 1, 16)]
        return [*tile_at, (324, 4, tiles, content_at), (325, 4, tiles, content_at + 4 * tiles)]

    data = tiff(entries, content=content, t256=1, t257=16 * tiles)
    return data.replace(struct.pack("<I", 19) * tiles, struct.pack("<I", data.index(tile)) * tiles)


def _tiff_of_values() -> bytes:
    """A tag of one value that has as many as fit."""
    return tiff(lambda at: [(258, 3, 30_000, at)], content=struct.pack("<H", 8) * 30_000, compression=1)


def _bmp_of_runs(*, nibbles: bool) -> bytes:
    """A BMP whose runs are of one pixel; of nibbles, as long as may be."""
    side = 1000 if nibbles else 170
    runs = (b"\xff\x12" * 4) if nibbles else b"\x01\x80"
    palette = bytes(value for grey in range(256) for value in (grey, 0, 0, 0))
    header = struct.pack(
        "<IIIHHIIIIII", 40, side, side, 1, 4 if nibbles else 8, 2 if nibbles else 1, 0, 0, 0, 256, 0
    )
    start = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 14 + len(header) + len(palette))
    row = (runs * side)[:340] + b"\0\0"
    return _filled(start + header + palette, row, b"\0\1")


def _bmp_of_colours() -> bytes:
    header = struct.pack("<IIIHHIIIIII", 40, 9, 9, 1, 8, 0, 0, 0, 0, 65_536, 0)
    start = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 14 + len(header))
    return (start + header).ljust(SIZE, b"\0")


FILES: dict[str, Callable[[], bytes]] = {
    "PNG of unknown chunks": lambda: _png(chunk(b"abCd", b"")),
    "PNG of private chunks": lambda: _png(chunk(b"abCd", b"")),
    "PNG of texts": lambda: _png(chunk(b"tEXt", b"a\0")),
    "PNG of international texts": lambda: _png(chunk(b"iTXt", b"a\0\0\0\0\0")),
    "PNG of inflating texts": _png_of_inflating_texts,
    "PNG of inflating profiles": lambda: _png(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**20 - 1), 9))),
    "PNG of transparencies": lambda: _png(chunk(b"tRNS", b"\0\1")),
    "PNG of palettes": lambda: _png(chunk(b"PLTE", b"")),
    "PNG of animation controls": lambda: _png(chunk(b"acTL", bytes(8))),
    "PNG of chunks behind the picture": lambda: _png(chunk(b"abCd", b""), behind=True),
    "PNG of texts behind the picture": lambda: _png(chunk(b"zTXt", b"a\0\0" + inflating(1)), behind=True),
    "PNG of image data, a byte each": lambda: _png_of_image_data(1),
    "PNG of image data, 256 bytes each": lambda: _png_of_image_data(256),
    "PNG of EXIF entries": lambda: png(9, 9, chunk(b"eXIf", exif_of_tags(5400, 4))),
    "JPEG of comments": lambda: _jpeg(_segment(0xFE)),
    "JPEG of application segments": lambda: _jpeg(_segment(0xE5)),
    "JPEG of EXIF segments": _growing_exif,
    "JPEG of EXIF entries": lambda: _jpeg(_segment(0xE1, b"Exif\0\0" + exif_of_tags(5400, 4))),
    "JPEG of EXIF entries that point": lambda: _jpeg(_segment(0xE1, b"Exif\0\0" + exif_of_tags(5400, 11))),
    "JPEG of resources": lambda: _jpeg(_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5400)),
    "JPEG of quantisation tables": lambda: _jpeg(_segment(0xDB, b"\0" + bytes(range(1, 65)))),
    "JPEG of Huffman tables": lambda: _jpeg(_segment(0xC4, bytes(17))),
    "JPEG of restart intervals": lambda: _jpeg(_segment(0xDD, b"\0\0")),
    "JPEG of frames": lambda: _jpeg(_segment(0xC0, b"\x08\0\x10\0\x10\1\1\x11\0")),
    "JPEG of a frame with many components": lambda: _jpeg(
        _segment(0xC0, b"\x08\0\x10\0\x10\1" + b"\1\x11\0" * 21_000)
    ),
    "JPEG of restart markers": lambda: _jpeg(b"\xff\xd0"),
    "JPEG of junk": lambda: _jpeg(b"\0"),
    "JPEG of escaped bytes": lambda: _jpeg(b"\xff\0"),
    "JPEG of fill bytes": lambda: _jpeg(b"\xff"),
    "JPEG of markers behind a scan": lambda: _jpeg(b"\xff\x01", at=b"\xff\xd9"),
    "JPEG of scans": lambda: jpeg_of_scans(500, 5000),
    "JPEG of markers that look like scans": lambda: _jpeg(_segment(0xFE, b"\xff\xda")),
    "GIF of comments": lambda: _gif(b"\x21\xfe\x01a\0"),
    "GIF of empty extensions": lambda: _gif(b"\x21\x01\0"),
    "GIF of an extension's blocks": lambda: _gif(b"\x21\xff" + b"\x01a" * 30_000 + b"\0"),
    "GIF of graphic controls": lambda: _gif(b"\x21\xf9\x04\0\0\0\0\0"),
    "GIF of junk": lambda: _gif(b"\0"),
    "GIF of image data, a byte each": _gif_of_image_blocks,
    "WebP of unknown chunks": lambda: _webp(b"abcd\0\0\0\0", in_front=False),
    "WebP of unknown chunks in front": lambda: _webp(b"abcd\0\0\0\0", in_front=True),
    "WebP of profiles": lambda: _webp(b"ICCP\0\0\0\0", in_front=True),
    "WebP of EXIF entries": lambda: encode(Image.new("L", (9, 9)), "WEBP", exif=exif_of_tags(5400, 4)),
    "WebP of frames": _webp_of_frames,
    "TIFF of private tags": lambda: tiff(lambda _at: [(40_000 + i, 13, 1, 0) for i in range(3900)]),
    "TIFF of private tags, uncompressed": lambda: tiff(
        lambda _at: [(40_000 + i, 13, 1, 0) for i in range(5300)], compression=1
    ),
    "TIFF of one tag again and again": lambda: tiff(lambda _at: [(305, 2, 1, 0)] * 5300),
    "TIFF of values": _tiff_of_values,
    "TIFF of strips": lambda: _tiff_of_strips(1),
    "TIFF of deflated strips": lambda: _tiff_of_strips(8),
    "TIFF of wide tiles": _tiff_of_tiles,
    "TIFF with a directory of EXIF entries": lambda: tiff(
        lambda at: [(34665, 4, 1, at)],
        content=struct.pack("<H", 5300) + struct.pack("<HHII", 0x9000, 3, 1, 0) * 5300,
    ),
    "BMP of runs": lambda: _bmp_of_runs(nibbles=False),
    "BMP of runs of nibbles": lambda: _bmp_of_runs(nibbles=True),
    "BMP of colours": _bmp_of_colours,
}
