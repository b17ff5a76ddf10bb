"""Files of the smallest parts: each is refused before a decoder sees it, or holds next to nothing by then."""

from __future__ import annotations

import io
import warnings
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.pictures.decode import ImageError, decode_grey
from service.pictures.guards import GuardError, check_cost
from service.pictures.parts import parts_of
from tests.service.fakes import encode
from tests.service.hostile import chunk, jpeg_of_scans, noise, png
from tests.service.smallest_parts import FILES, SIZE

LIMIT = 24_000_000
FEW_BYTES = 4096
# Their decoders pass over such parts in C, in 2 ms at most: 64 kB took so long on an Intel Xeon.
IN_C = (
    "WebP",
    "GIF of image data",
    "PNG of image data, 256",
    "TIFF of deflated strips",
    "JPEG of markers behind",
)
ALSO_IN_C = ("TIFF with a directory of EXIF", "JPEG of a frame", "JPEG of quantisation")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_smallest_parts_is_refused_or_made_small(name, monkeypatch):
    data = FILES[name]()
    assert SIZE / 5 < len(data) < SIZE * 1.1
    seen: list[io.BytesIO] = []
    checked: list[Image.Image] = []
    opened = Image.open

    def watched_open(file: io.BytesIO, **options: Any) -> Image.Image:
        seen.append(file)
        return opened(file, **options)

    def watched_check(image: Image.Image, data: bytes, max_pixels: int) -> None:
        check_cost(image, data, max_pixels)
        checked.append(image)

    monkeypatch.setattr(Image, "open", watched_open)
    monkeypatch.setattr("service.pictures.decode.check_cost", watched_check)
    with suppress(ImageError):
        decode_grey(data, LIMIT)
    if not checked:  # refused before any pixel was decoded
        return
    (file,) = seen
    if not name.startswith((*IN_C, *ALSO_IN_C)):
        assert len(file.getvalue()) < FEW_BYTES


def test_decoding_is_not_asked_for_texts_and_profiles():
    texts = b"".join(
        chunk(kind, b"a\0\0" + bytes(9)) for kind in (b"iCCP", b"zTXt", b"tEXt", b"iTXt", b"abCd")
    )
    assert parts_of(png(9, 9, texts)).data == png(9, 9)
    picture = Image.new("L", (9, 9))
    with_profile = encode(
        picture, "JPEG", icc_profile=bytes(9000), exif=b"Exif\0\0" + bytes(900), comment=b"a"
    )
    assert parts_of(with_profile).data == encode(picture, "JPEG")


def test_many_parts_are_refused_by_their_number():
    for make in (FILES["PNG of unknown chunks"], FILES["JPEG of comments"], FILES["GIF of comments"]):
        with pytest.raises(GuardError, match="too many small pieces"):
            parts_of(make())
    for kind in ("PNG", "JPEG", "GIF", "TIFF"):
        assert parts_of(noise(kind, side=900)).data


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [6, 2])
def test_xmp_data_turn_a_picture_where_exif_data_do_not(kind, orientation):
    wide = Image.fromarray(np.tile(np.arange(0, 200, 20, dtype=np.uint8), (5, 1)))
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    if kind == "PNG":
        data = png_with(wide, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    elif kind == "TIFF":
        data = encode(wide, kind, tiffinfo={700: xmp})
    else:
        data = encode(wide, kind, xmp=xmp, **options)
    turned = decode_grey(data, LIMIT)
    expected = np.fliplr(np.asarray(wide)) if orientation == 2 else np.rot90(np.asarray(wide), -1)
    np.testing.assert_allclose(turned.astype(int), expected.astype(int), atol=9)


@pytest.mark.parametrize("packed", [False, True])
def test_a_profile_of_imagemagick_turns_a_png(packed):
    exif = Image.Exif()
    exif[0x0112] = 6
    digits = exif.tobytes().hex()
    text = f"\nexif\n{len(digits) // 2:8}\n{digits}\n".encode()
    content = b"Raw profile type exif\0" + (b"\0" + zlib.compress(text) if packed else text)
    data = png_with(Image.new("L", (9, 5)), chunk(b"zTXt" if packed else b"tEXt", content))
    assert decode_grey(data, LIMIT).shape == (9, 5)


def png_with(picture, more):
    data = encode(picture)
    at = data.index(b"IDAT") - 4
    return data[:at] + more + data[at:]


def test_a_scan_more_than_usual_is_refused_where_each_costs_much():
    assert decode_grey(jpeg_of_scans(64, 60), LIMIT).shape == (64, 64)
    with pytest.raises(ImageError, match="scans"):
        decode_grey(jpeg_of_scans(4000, 20), LIMIT)


def test_what_is_read_by_its_parts_warns_nobody():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
            decode_grey(noise(kind), LIMIT)
