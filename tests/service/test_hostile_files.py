"""Files that are cut short, damaged, something else than they say, or more than was asked for."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, PngImagePlugin

from service.pictures.decode import ImageError, decode_grey
from tests.service.fakes import encode
from tests.service.hostile import FORMATS, noise
from tests.service.listening import asking

LIMIT = 1_000_000
# Pillow warns about damaged and huge files; that they are refused is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

HTML = b"<!doctype html><html><script>alert(1)</script></html>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect/></svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
ICO = bytes.fromhex("00000100010010100000010018006803000016000000") + bytes(900)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with asking() as client:
        yield client


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("scene.png", noise("PNG"))
    return stream.getvalue()


def decoded(data: bytes) -> np.ndarray | None:
    """The picture; None where it was refused with a sentence. Any other error passes through."""
    try:
        return decode_grey(data, LIMIT)
    except ImageError as error:
        if not str(error).startswith("image: ") or not str(error).isprintable():
            raise AssertionError(f"no sentence: {str(error)!r}") from error
        return None


def post(client, data, content_type="image/png"):
    return client.post("/predict?maps=none", content=data, headers={"content-type": content_type})


def assert_refused(response, status=422, *words):
    assert response.status_code == status, response.content[:200]
    detail = json.loads(response.content)["detail"]
    for word in words:
        assert word in detail


@pytest.mark.parametrize("kind", FORMATS)
def test_no_part_of_a_file_is_taken_for_the_picture(kind):
    data = noise(kind)
    whole = decode_grey(data, LIMIT)
    for length in sorted({*range(200), *range(200, len(data), 37), *range(len(data) - 8, len(data))}):
        part = decoded(data[:length])
        if part is not None:
            # Only what stands behind the last pixel may be missing, such as a trailer, without harm.
            assert length > len(data) - 40
            np.testing.assert_array_equal(part, whole)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_flipped_bit_gives_a_picture_or_a_sentence(kind):
    data = noise(kind, side=16)
    random = np.random.default_rng(6)
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(random.integers(1, 4)):
            damaged[random.integers(len(data))] ^= 1 << random.integers(8)
        picture = decoded(bytes(damaged))
        if picture is not None:
            assert picture.dtype == np.uint8
            assert picture.ndim == 2
            assert picture.size <= LIMIT


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_never_a_500(client, kind):
    data = noise(kind)
    assert_refused(post(client, data[: len(data) // 2], f"image/{kind.lower()}"), 422, "image: ")
    answer = client.post("/predict/batch?maps=none", files=[("images", data), ("images", data[:99])])
    assert answer.status_code == 200
    assert "label" in answer.json()[0]
    assert answer.json()[1]["detail"].startswith("image: ")


@pytest.mark.parametrize(
    "data", [HTML, SVG, EPS, ICO, zipped(), b"%PDF-1.7\n", b"GIF89a", b"BM", b"\xff\xd8\xff"]
)
@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_only_named_a_picture_is_422(client, data, kind):
    assert_refused(post(client, data, f"image/{kind.lower()}"), 422, "image: ")
    file = {"image": (f"scene.{kind.lower()}", data, f"image/{kind.lower()}")}
    assert_refused(client.post("/predict", files=file), 422, "image: ")


def test_types_that_are_not_allowed_are_415_whatever_the_bytes(client):
    for content_type in (
        "image/svg+xml",
        "text/html",
        "application/zip",
        "image/*",
        "*/*",
        "image/png,x",
        b"\xff",
    ):
        assert_refused(post(client, noise("PNG"), content_type), 415, "content type: expected ")


def test_a_file_is_what_its_bytes_say(client):
    assert post(client, noise("GIF"), "image/png").status_code == 200


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_many_frames_or_pages_only_the_first_is_read(kind):
    sizes = [(30, 20)] * 40 if kind != "TIFF" else [(30, 20), *[(900, 900)] * 39]
    frames = [Image.new("L", size, 5 * number) for number, size in enumerate(sizes)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    decoded = decode_grey(data, 600)
    assert decoded.shape == (20, 30)
    assert decoded.max() <= 2


def test_a_picture_of_one_row_or_column_is_answered(client):
    for shape, side in (((1, 100_000), "width"), ((100_000, 1), "height")):
        response = post(client, encode(np.full(shape, 90, np.uint8)))
        assert response.status_code == 200
        assert response.json()["bbox"][side] <= 100_000
    assert_refused(post(client, encode(np.zeros((1, 100_001), np.uint8))), 413, "100000 px", "100001 x 1")


def test_what_does_not_matter_may_be_large_or_broken(client):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("comment", "x" * 90_000)
    picture = Image.new("L", (9, 9), 80)
    for data in (
        encode(picture, pnginfo=texts),
        encode(picture, exif=b"Exif\0\0" + bytes(60_000)),
        encode(picture, "JPEG", exif=b"Exif\0\0MM\0*" + b"\xff" * 60_000),
        encode(picture, "JPEG", icc_profile=bytes(150_000)),
        encode(picture, "WEBP", icc_profile=b"\xff" * 150_000, exif=b"\xff" * 900),
        encode(picture, "TIFF", icc_profile=bytes(150_000)),
        encode(picture) + bytes(90_000),
        encode(picture, "JPEG") + zipped(),
    ):
        assert post(client, data).status_code == 200


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_is_none_turns_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode_grey(encode(Image.new("L", (9, 5)), "JPEG", exif=exif), LIMIT).shape == (5, 9)
