from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from service.pictures.decode import ImageError, TooManyPixelsError, decode_grey, decode_picture
from tests.service.fakes import encode
from tests.service.hostile import chunk

LIMIT = 1_000_000
# Pillow warns about damaged and huge files; that they are refused is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def ramp(height: int = 7, width: int = 11) -> np.ndarray:
    """Every pixel another value, not symmetric, not square."""
    return (np.arange(height * width).reshape(height, width) * 3 + 1).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {})],
)
def test_lossless_grey_comes_back_exactly(kind, options):
    decoded = decode_grey(encode(ramp(), kind, **options), LIMIT)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, ramp())


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 100}), ("WEBP", {"lossless": True})])
def test_other_formats_come_back_closely(kind, options):
    decoded = decode_grey(encode(Image.fromarray(ramp()).convert("RGB"), kind, **options), LIMIT)
    np.testing.assert_allclose(decoded.astype(int), ramp().astype(int), atol=2)


def test_colours_become_luma():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    assert decode_grey(encode(colours), LIMIT).tolist() == [[76, 150, 29, 9]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_become_white(mode):
    picture = Image.new(mode, (4, 1))
    black, grey = (0,) * (len(mode) - 1), (100,) * (len(mode) - 1)
    for x, pixel in enumerate([(*black, 0), (*black, 255), (*grey, 255), (*black, 128)]):
        picture.putpixel((x, 0), pixel)
    assert decode_grey(encode(picture), LIMIT).tolist() == [[255, 0, 100, 127]]


def test_palette_is_looked_up_and_its_transparent_entry_is_white():
    picture = Image.new("P", (3, 1))
    picture.putpalette([10, 10, 10, 200, 200, 200, 50, 50, 50])
    for x in range(3):
        picture.putpixel((x, 0), x)
    assert decode_grey(encode(picture), LIMIT).tolist() == [[10, 200, 50]]
    assert decode_grey(encode(picture, transparency=1), LIMIT).tolist() == [[10, 255, 50]]
    assert decode_grey(encode(picture, "GIF", transparency=2), LIMIT).tolist() == [[10, 200, 255]]


def test_transparent_grey_value_of_a_png_is_white():
    assert decode_grey(encode(np.array([[7, 8]], np.uint8), transparency=7), LIMIT).tolist() == [[255, 8]]


def test_one_bit():
    bits = Image.new("1", (3, 1))
    bits.putpixel((1, 0), 1)
    assert decode_grey(encode(bits), LIMIT).tolist() == [[0, 255, 0]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind):
    deep = np.array([[0, 255, 257, 256 * 257 // 2, 65535]], np.uint16)
    assert decode_grey(encode(deep, kind), LIMIT).tolist() == [[0, 1, 1, 128, 255]]


TWELVE_BITS = np.array([[0, 8, 16, 2048, 4095]], np.uint16)


@pytest.mark.parametrize("tag", [281, 341])  # MaxSampleValue, SMaxSampleValue
def test_12_bit_grey_of_a_tiff_is_stretched_where_the_file_says_so(tag):
    stretched = [[0, 0, 1, 128, 255]]
    assert decode_grey(encode(TWELVE_BITS, "TIFF", tiffinfo={tag: 4095}), LIMIT).tolist() == stretched
    as_used = encode(TWELVE_BITS, "TIFF", tiffinfo={tag: 4000})
    assert decode_grey(as_used, LIMIT).tolist() == stretched
    assert decode_grey(encode(TWELVE_BITS, "TIFF"), LIMIT).tolist() == [[0, 0, 0, 8, 16]]
    brighter = np.array([[0, 65535]], np.uint16)  # than the file says
    assert decode_grey(encode(brighter, "TIFF", tiffinfo={tag: 4095}), LIMIT).tolist() == [[0, 255]]


def test_12_bit_grey_in_12_bits_is_stretched():
    pixels = bytes([0x00, 0x08, 0x00, 0xFF, 0xF0, 0x10])  # 0, 2048, 4095, 16
    tags = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels
    data = start + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert decode_grey(data, LIMIT).tolist() == [[0, 128, 255, 1]]


def png_with_significant_bits(values: np.ndarray, bits: int) -> bytes:
    data = encode(values)
    at = data.index(b"IDAT") - 4
    return data[:at] + chunk(b"sBIT", bytes([bits])) + data[at:]


def test_12_bit_grey_of_a_png_is_stretched_where_it_lies_in_the_low_bits():
    data = png_with_significant_bits(TWELVE_BITS + np.uint16(1) * (TWELVE_BITS == 8), 12)
    assert decode_grey(data, LIMIT).tolist() == [[0, 1, 1, 128, 255]]
    # As the specification has it, significant bits are the high ones; a dark picture stays dark.
    high = (TWELVE_BITS << 4).astype(np.uint16)
    assert decode_grey(png_with_significant_bits(high, 12), LIMIT).tolist() == [[0, 0, 1, 128, 255]]
    dark = np.array([[0, 2560]], np.uint16)
    assert decode_grey(png_with_significant_bits(dark, 12), LIMIT).tolist() == [[0, 10]]


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_over_the_limit_is_decoded_at_half_its_size(orientation):
    wide = np.repeat(np.arange(0, 240, 2, dtype=np.uint8), 10).reshape(1, 1200).repeat(900, axis=0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(wide, "JPEG", quality=95, exif=exif)
    picture = decode_picture(data, LIMIT)
    upright = np.asarray(Image.fromarray(wide).resize((600, 450))).astype(int)
    if orientation == 6:
        assert (picture.width_px, picture.height_px) == (900, 1200)
        upright = np.rot90(upright, -1)
    else:
        assert (picture.width_px, picture.height_px) == (1200, 900)
    assert picture.grey.shape == upright.shape
    assert np.abs(picture.grey - upright).max() <= 4
    with pytest.raises(TooManyPixelsError):
        decode_picture(data, LIMIT, reduce=False)
    with pytest.raises(TooManyPixelsError):
        decode_picture(encode(wide), LIMIT)  # a PNG cannot be
    with pytest.raises(TooManyPixelsError, match="at most 1000000 pixels"):
        decode_picture(data, 500_000)


def test_a_jpeg_with_no_pixels_to_spare_is_not_reduced():
    picture = decode_picture(encode(ramp(), "JPEG"), LIMIT)
    assert (picture.grey.shape, picture.width_px, picture.height_px) == ((7, 11), 11, 7)


@pytest.mark.parametrize(
    ("width", "height", "decoded"),
    [
        (3199, 800, (3199, 800)),
        (3200, 799, (3200, 799)),
        (3200, 800, (1600, 400)),
        (810, 3300, (405, 1650)),
        (6399, 1600, (3200, 800)),
        (6400, 1600, (1600, 400)),
        (12800, 300, (12800, 300)),
    ],
)
def test_a_large_jpeg_keeps_the_pixels_that_the_search_needs(width, height, decoded):
    data = encode(np.zeros((height, width), np.uint8), "JPEG")
    picture = decode_picture(data, 2**24)
    assert (picture.grey.shape[::-1], picture.width_px, picture.height_px) == (decoded, width, height)
    assert decode_grey(data, 2**24).shape == (height, width)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 257, 65535], [0, 1, 255]),  # 16 bits in 32
        ([-100, 0, 100], [0, 128, 255]),  # signed: stretched
        ([0, 65536, 131072], [0, 128, 255]),  # deeper: stretched
        ([-5, -5, -5], [0, 0, 0]),
    ],
)
def test_32_bit_whole_numbers(values, expected):
    assert decode_grey(encode(np.array([values], np.int32), "TIFF"), LIMIT).tolist() == [expected]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 3.0, 200.0], [0, 3, 200]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 1e6, 2e6], [0, 128, 255]),
    ],
)
def test_floating_point(values, expected):
    assert decode_grey(encode(np.array([values], np.float32), "TIFF"), LIMIT).tolist() == [expected]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_intensities_that_are_not_finite_are_refused(bad):
    with pytest.raises(ImageError, match="finite"):
        decode_grey(encode(np.array([[0.0, bad]], np.float32), "TIFF"), LIMIT)


def test_cmyk():
    inks = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    inks.paste((0, 0, 0, 255), (0, 0, 8, 4))
    decoded = decode_grey(encode(inks, "TIFF"), LIMIT)
    assert decoded[1, 1] == 0
    assert decoded[6, 6] == 255
    decoded = decode_grey(encode(inks, "JPEG", quality=100), LIMIT)
    assert decoded[1, 1] < 10
    assert decoded[6, 6] > 245


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a.T, 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_applied_once(kind, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode_grey(encode(ramp(), kind, exif=exif), LIMIT), turn(ramp()))


def test_first_frame_and_first_page():
    frames = [Image.fromarray(np.full((5, 6), value, np.uint8)) for value in (10, 200)]
    for kind in ("GIF", "TIFF", "PNG", "WEBP"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        decoded = decode_grey(data, LIMIT)
        assert decoded.shape == (5, 6)
        assert abs(int(decoded[2, 2]) - 10) <= 2, kind


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_file_that_is_cut_short_is_refused(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    data = encode(noise, kind)
    for length in (len(data) // 2, len(data) // 4, 20, 3, 1):
        with pytest.raises(ImageError, match=r"^image: "):
            decode_grey(data[:length], LIMIT)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00" * 100, b"P5 1 1 255\n\x00", b"<svg/>"])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(ImageError, match=r"^image: expected "):
        decode_grey(data, LIMIT)


def png_of_announced_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    stream = zlib.compress(b"\x00" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height"), [(1001, 1000), (10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)]
)
def test_a_decompression_bomb_is_refused_by_its_header(width, height):
    with pytest.raises(TooManyPixelsError, match="at most 1000000 pixels"):
        decode_grey(png_of_announced_size(width, height), LIMIT)


def test_the_limit_itself_is_allowed():
    data = encode(np.zeros((1000, 1000), np.uint8))
    assert decode_grey(data, LIMIT).shape == (1000, 1000)
    with pytest.raises(TooManyPixelsError):
        decode_grey(data, LIMIT - 1)


def test_damage_in_the_middle_is_never_another_error():
    random = np.random.default_rng(1)
    refused = 0
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        data = encode(random.integers(0, 256, (24, 24), np.uint8), kind)
        for _ in range(150):
            damaged = bytearray(data)
            for place in random.integers(0, len(data), 4):
                damaged[place] = random.integers(256)
            try:
                decoded = decode_grey(bytes(damaged), LIMIT)
            except ImageError:
                refused += 1
            else:
                assert decoded.dtype == np.uint8
                assert decoded.ndim == 2
    assert refused > 100
