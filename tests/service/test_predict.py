from __future__ import annotations

import base64
import io
import json
import struct
import time

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from models.pictures import formats, heif
from service.app import create_app
from service.inference.engine import engine_in_process
from service.schemas import ErrorAnswer, PredictionAnswer, PredictionWithoutMaps, Problem
from service.settings import Settings
from tests.service.fakes import BarGenerator, encode

ARRAY_KEYS = {
    *("label", "confidence", "probabilities", "bbox", "attention", "attention_map", "glimpse"),
    *("digit_present", "inverted", "frame", "frame_box", "model", "timing_ms"),
}


def picture_with_box(width, height, left, top, right, bottom, value=255):
    picture = np.zeros((height, width), np.uint8)
    picture[top:bottom, left:right] = value
    return encode(picture)


def post_file(client, data, content_type="image/png", path="/predict", **query):
    return client.post(path, files={"image": ("scene.png", data, content_type)}, params=query)


def post_raw(client, data, content_type="image/png", **query):
    return client.post("/predict", content=data, headers={"content-type": content_type}, params=query)


def refuse_constants(name):
    raise ValueError(f"{name} in JSON")


def strict_json(response):
    return json.loads(response.content, parse_constant=refuse_constants)


@pytest.mark.parametrize("post", [post_file, post_raw])
def test_an_answer_has_all_its_parts(client, post):
    response = post(client, picture_with_box(100, 100, 20, 30, 60, 50))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = strict_json(response)
    assert set(answer) == ARRAY_KEYS
    assert answer["label"] == 9
    assert answer["confidence"] == answer["probabilities"][9] == pytest.approx(0.91)
    assert answer["bbox"] == {"x": 20, "y": 30, "width": 40, "height": 20}
    assert answer["attention"] == {"x": 40, "y": 40, "sigma_x": 10, "sigma_y": 5}
    assert answer["digit_present"] == 1
    assert answer["inverted"] is False
    assert answer["model"] == {"name": "blob", "version": "0.0.1", "provider": "FakeExecutionProvider"}
    grid = np.array(answer["attention_map"])
    assert grid.shape == (100, 100)
    assert grid.max() == 1
    rows, columns = np.mgrid[:100, :100] + 0.5
    expected = np.exp(-0.5 * ((columns - 40) / 10) ** 2 - 0.5 * ((rows - 40) / 5) ** 2)
    np.testing.assert_allclose(grid, expected / expected.max(), atol=6e-5)
    assert np.array(answer["glimpse"]).shape == (28, 28)
    frame = np.zeros((100, 100))
    frame[30:50, 20:60] = 1
    np.testing.assert_array_equal(answer["frame"], frame)
    assert answer["frame_box"] == {"x": 0, "y": 0, "width": 100, "height": 100}
    PredictionAnswer.model_validate(answer)


def test_lengths_are_in_the_posted_pictures_px(client):
    answer = strict_json(post_raw(client, picture_with_box(800, 400, 320, 80, 480, 200)))
    # Of the closer look a pixel covers 4.7 px of the picture.
    assert answer["bbox"] == pytest.approx({"x": 320, "y": 80, "width": 160, "height": 120}, abs=5)
    assert answer["attention"] == pytest.approx({"x": 400, "y": 140, "sigma_x": 40, "sigma_y": 30}, abs=2.5)
    assert np.array(answer["attention_map"]).shape == (50, 100)


def test_a_small_picture_has_a_map_of_its_own_size(client):
    answer = strict_json(post_raw(client, picture_with_box(50, 40, 30, 5, 45, 15)))
    assert answer["bbox"] == {"x": 30, "y": 5, "width": 15, "height": 10}
    grid = np.array(answer["attention_map"])
    assert grid.shape == (40, 50)
    row, column = np.unravel_index(grid.argmax(), grid.shape)
    assert (int(row), int(column)) == (9, 37)


@pytest.mark.parametrize(
    ("ground", "stroke", "inverted"), [(250, 10, True), (130, 60, True), (40, 90, False)]
)
def test_the_ink_at_the_box_is_darker_than_its_ground_or_not(client, ground, stroke, inverted):
    page = np.full((60, 100), ground, np.uint8)
    page[20:40, 60:66] = stroke
    page[22, 75] = 255  # the box, as this model has it: from here to the brighter half of the page
    answer = strict_json(post_raw(client, encode(page)))
    assert answer["inverted"] is inverted
    shown = np.array(answer["frame"])
    np.testing.assert_allclose(shown[20:80], page / 255, atol=5e-4)  # as it was posted
    np.testing.assert_allclose(shown[:20], ground / 255, atol=5e-4)  # and its edges repeated


def test_the_frame_of_a_small_picture_reaches_beyond_it(client):
    data = picture_with_box(50, 40, 30, 5, 45, 15)
    answer = strict_json(post_raw(client, data))
    assert answer["frame_box"] == {"x": -25, "y": -30, "width": 100, "height": 100}
    as_png = strict_json(post_raw(client, data, maps="png"))
    assert as_png["frame_box"] == answer["frame_box"]


def test_a_small_digit_in_a_large_picture_is_looked_at_closely(client):
    answer = strict_json(post_raw(client, picture_with_box(900, 700, 600, 100, 650, 168)))
    assert answer["bbox"] == pytest.approx({"x": 600, "y": 100, "width": 50, "height": 68}, abs=2)
    # 68 px of the picture are 34 px of the frame; the digit is in its middle.
    assert answer["frame_box"] == pytest.approx({"x": 525, "y": 34, "width": 200, "height": 200}, abs=20)
    frame = np.array(answer["frame"])
    assert np.count_nonzero(frame > 0.5) == pytest.approx(25 * 34, rel=0.2)
    assert np.array(answer["attention_map"]).shape == (78, 100)
    assert np.max(answer["attention_map"]) == 1


def test_a_picture_that_has_to_be_searched_is_answered_by_the_surest_window(client, predictor):
    page = np.full((900, 900), 0, np.uint8)
    page[700:704, 800:804] = 255  # lost in the whole, which is shrunk nine times
    answer = strict_json(post_raw(client, encode(page)))
    assert answer["digit_present"] > 0.5
    assert answer["bbox"] == pytest.approx({"x": 800, "y": 700, "width": 4, "height": 4}, abs=1)
    assert answer["frame_box"]["width"] == pytest.approx(34, abs=1)
    assert predictor.batches == [2, 9, 1]


def test_maps_as_png(client):
    data = picture_with_box(50, 40, 30, 5, 45, 15)
    answer = strict_json(post_raw(client, data, maps="png"))
    PredictionAnswer.model_validate(answer)
    as_array = strict_json(post_raw(client, data))
    for key in ("attention_map", "glimpse", "frame"):
        prefix, _, content = answer[key].partition(",")
        assert prefix == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert image.mode == "L"
            np.testing.assert_allclose(np.asarray(image) / 255, as_array[key], atol=0.5 / 255 + 1e-4)


def test_no_maps(client):
    answer = strict_json(post_raw(client, picture_with_box(50, 40, 30, 5, 45, 15), maps="none"))
    assert set(answer) == ARRAY_KEYS - {"attention_map", "glimpse", "frame", "frame_box"}
    PredictionWithoutMaps.model_validate(answer)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 2), (99, 101)])
@pytest.mark.parametrize("value", [0, 100, 255])
def test_pictures_of_any_shape_are_answered(client, shape, value):
    answer = strict_json(post_raw(client, encode(np.full(shape, value, np.uint8))))
    PredictionAnswer.model_validate(answer)
    box = answer["bbox"]
    assert box["x"] + box["width"] <= shape[1] + 1e-9
    assert box["y"] + box["height"] <= shape[0] + 1e-9


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_that_is_promised(client, kind):
    picture = np.zeros((60, 60), np.uint8)
    picture[16:40, 24:32] = 255
    data = encode(picture, kind)
    assert post_raw(client, data, f"image/{kind.lower()}").json()["label"] == 9
    assert post_file(client, data, f"image/{kind.lower()}").json()["label"] == 9


@pytest.mark.parametrize("content_type", ["application/octet-stream", "", "IMAGE/PNG; x=y"])
@pytest.mark.parametrize("post", [post_file, post_raw])
def test_a_file_of_unknown_type_is_judged_by_its_bytes(client, content_type, post):
    assert post(client, picture_with_box(9, 9, 1, 1, 4, 4), content_type).status_code == 200
    assert_refused(post(client, b"hello", content_type), 422, "image: expected one of PNG")


def assert_refused(response, status, *words):
    assert response.status_code == status, response.text
    error = Problem.model_validate(strict_json(response))
    for word in words:
        assert word in error.detail


@pytest.mark.parametrize(
    "content_type", ["text/plain", "image/svg+xml", "image/avif", "application/json", "x"]
)
def test_other_content_types_are_415(client, content_type):
    data = picture_with_box(9, 9, 1, 1, 4, 4)
    assert_refused(post_raw(client, data, content_type), 415, "image/png", content_type)
    assert_refused(post_file(client, data, content_type), 415, "image/png", content_type)


needs_heif = pytest.mark.skipif(not heif.is_installed(), reason="the extra `heif` is not installed")


@pytest.fixture
def without_heif(monkeypatch):
    monkeypatch.setattr(heif, "is_installed", lambda: False)


def heic(picture: Image.Image, **options: object) -> bytes:
    formats.formats()  # registers it
    return encode(picture, heif.FORMAT, **options)


@pytest.mark.parametrize("content_type", heif.MEDIA_TYPES)
@pytest.mark.usefixtures("without_heif")
def test_where_heic_is_not_read_the_extra_is_named(client, content_type):
    for post in (post_raw, post_file):
        assert_refused(post(client, b"\0\0\0\x1cftypheic", content_type), 415, "'.[heif]'", content_type)
        assert_refused(post(client, b"\0\0\0\x1cftypheic", ""), 422, "'.[heif]'", "one of PNG")


@pytest.mark.parametrize("content_type", [*heif.MEDIA_TYPES, "application/octet-stream"])
@needs_heif
def test_heic_is_read_where_the_extra_is_installed(client, content_type):
    picture = Image.new("L", (96, 64))
    picture.paste(255, (16, 16, 48, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # of a HEIC that says nothing: its own properties turn it
    data = heic(picture, exif=exif, quality=90)
    for post in (post_raw, post_file):
        answer = post(client, data, content_type).json()
        box = answer["bbox"]
        assert (box["x"], box["y"], box["width"], box["height"]) == pytest.approx((16, 16, 32, 16), abs=2)
    assert_refused(post_raw(client, data[: len(data) // 2], content_type), 422, "image: ")


@needs_heif
def test_a_heic_that_announces_less_than_it_holds_is_refused(client):
    data = heic(Image.new("L", (400, 300)))
    at = data.index(b"ispe") + 8
    smaller = data[:at] + struct.pack(">II", 10, 10) + data[at + 8 :]
    assert_refused(post_raw(client, smaller, "image/heic"), 422, "image: ")
    larger = data[:at] + struct.pack(">II", 9000, 9000) + data[at + 8 :]
    assert_refused(post_raw(client, larger, "image/heic"), 413, "1000000 pixels")


def test_avif_is_refused_with_the_reason(client):
    data = encode(Image.new("RGB", (16, 16)), "AVIF")
    assert_refused(post_raw(client, data, "application/octet-stream"), 422, "AVIF is not read", "one of PNG")


def test_a_body_without_a_type_is_judged_by_its_bytes(client):
    assert client.post("/predict", content=picture_with_box(9, 9, 1, 1, 4, 4)).status_code == 200
    assert_refused(client.post("/predict", content=b"\xff\xfe"), 422, "image: expected one of PNG")
    assert_refused(client.post("/predict"), 422, "got none")
    assert_refused(client.post("/predict/batch", content=b"\xff\xfe"), 415, "multipart/form-data")


def test_what_cannot_be_decoded_is_422(client):
    for data in (b"", b"\xff\xfe\x00", b"hello", picture_with_box(99, 99, 1, 1, 4, 4)[:60]):
        assert_refused(post_raw(client, data), 422, "image: ")
        assert_refused(post_file(client, data), 422, "image: ")


def test_the_box_in_a_jpeg_that_was_decoded_at_half_its_size_is_in_px_of_what_was_posted(client):
    picture = np.zeros((900, 1200), np.uint8)  # the limit of this service is 1,000,000 pixels
    picture[240:480, 120:360] = 255
    answer = post_raw(client, encode(picture, "JPEG", quality=95), "image/jpeg").json()
    box = answer["bbox"]
    assert (box["x"], box["y"], box["width"], box["height"]) == pytest.approx((120, 240, 240, 240), abs=13)


def test_too_many_pixels_are_413(client):
    data = encode(np.zeros((1001, 1000), np.uint8))
    assert_refused(post_raw(client, data), 413, "1000000 pixels", "1001000")


def test_too_large_a_body_is_413_whatever_its_header_says(client):
    data = b"\x00" * 200_001
    assert_refused(post_raw(client, data), 413, "200000 bytes", "200001")
    assert_refused(post_file(client, data), 413, "200000 bytes")
    chunks = (data[i : i + 10_000] for i in range(0, len(data), 10_000))
    assert_refused(post_raw(client, chunks), 413, "200000 bytes", "more")
    files = [("images", ("a.png", data[:150_000], "image/png"))] * 2
    assert_refused(client.post("/predict/batch", files=files), 413, "200000 bytes")


def test_the_body_limit_itself_is_allowed(client):
    assert_refused(post_raw(client, b"\x00" * 200_000), 422, "image: ")


def test_forms_without_the_one_file_are_422(client):
    png = picture_with_box(9, 9, 1, 1, 4, 4)
    assert_refused(client.post("/predict", files={"picture": png}), 422, "field image or file", "'picture'")
    assert_refused(client.post("/predict", files={"image": png, "mask": png}), 422, "'mask'")
    assert_refused(
        client.post("/predict", files={"image": png, "file": png}), 422, "expected one file, got 2"
    )
    assert_refused(client.post("/predict", files=[("image", png), ("image", png)]), 422, "/predict/batch")
    no_file = b'--b\r\nContent-Disposition: form-data; name="picture"\r\n\r\nhello\r\n--b--\r\n'
    assert_refused(post_raw(client, no_file, "multipart/form-data; boundary=b"), 422, "'picture'")
    text = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nhello\r\n--b--\r\n'
    assert_refused(post_raw(client, text, "multipart/form-data; boundary=b"), 422, "expected a file")


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_file_may_be_named_file_and_have_text_fields_beside_it(client, path):
    png = picture_with_box(9, 9, 1, 1, 4, 4)
    texts = {f"field{number}": "text" for number in range(60)}
    response = client.post(path, files={"file": png}, data={"maps": "none", "name": "a.png", **texts})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"--b\r\n",
        b"--b\r\n\r\n\r\n--b--\r\n",
        b"--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="\xff\xfe"; filename="\xff"\r\n\r\nx\r\n--b--\r\n',
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nx',
    ],
)
@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=b", "multipart/form-data"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_broken_forms_are_422(client, body, content_type, path):
    assert_refused(client.post(path, content=body, headers={"content-type": content_type}), 422)


@pytest.mark.parametrize("charset", ["undefined", "hex", "punycode", "utf-16", "none"])
def test_an_odd_charset_of_a_form_is_no_failure_of_ours(client, charset):
    field = b'--b\r\nContent-Disposition: form-data; name="image\xff"\r\n\r\nx\r\n--b--\r\n'
    assert_refused(post_raw(client, field, f"multipart/form-data; boundary=b; charset={charset}"), 422)


def test_a_defect_of_the_service_is_a_500_in_json(predictor, monkeypatch):
    monkeypatch.setattr(predictor, "predict", lambda scenes: 1 / 0)
    app = create_app(engine_in_process(predictor), Settings(), BarGenerator())
    with TestClient(app, raise_server_exceptions=False) as client:
        assert_refused(post_raw(client, picture_with_box(9, 9, 1, 1, 4, 4)), 500, "defect")


def test_query_parameters_are_checked(client):
    png = picture_with_box(9, 9, 1, 1, 4, 4)
    assert_refused(post_raw(client, png, maps="jpeg"), 422, "maps: expected array or png or none, got 'jpeg'")
    assert_refused(post_raw(client, png, map="png"), 422, "maps", "got 'map'")
    for path in ("/predict?maps=%ff%fe", "/predict?%ff=1", "/predict?maps="):
        response = client.post(path, content=png, headers={"content-type": "image/png"})
        assert_refused(response, 422, "maps")


def test_a_model_that_fails_is_503(client, predictor):
    predictor.failure = "the model lost its device"
    assert_refused(post_raw(client, picture_with_box(9, 9, 1, 1, 4, 4)), 503, "lost its device")
    assert_refused(client.get("/readyz"), 503, "lost its device")
    assert client.get("/healthz").json() == {"status": "alive"}
    predictor.failure = ""
    deadline = time.monotonic() + 10  # until the workers have shown again that the model answers
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline


def test_ready_says_which_model(client, predictor):
    assert client.get("/readyz").json() == {
        "status": "ready",
        "model": {"name": "blob", "version": "0.0.1", "provider": "FakeExecutionProvider"},
    }


def test_a_batch_is_answered_in_its_order(client, predictor):
    values = (255, 57, 142)
    good = [picture_with_box(40, 30, 5, 6, 15, 16, value) for value in values]
    sent = [good[0], b"broken", good[1], encode(np.zeros((1001, 1000), np.uint8)), good[2]]
    files = [("images", (f"{i}.png", data, "image/png")) for i, data in enumerate(sent)]
    response = client.post("/predict/batch", files=files)
    assert response.status_code == 200
    answers = strict_json(response)
    assert len(answers) == 5
    assert [answers[i]["label"] for i in (0, 2, 4)] == [9, 2, 5]
    assert "BMP" in ErrorAnswer.model_validate(answers[1]).detail
    assert "1000000 pixels" in ErrorAnswer.model_validate(answers[3]).detail
    assert sum(predictor.batches) == 3
    for i in (0, 2, 4):
        PredictionAnswer.model_validate(answers[i])
        alone = strict_json(post_raw(client, sent[i]))
        assert {**answers[i], "timing_ms": 0} == {**alone, "timing_ms": 0}


def test_a_batch_without_a_good_picture_asks_no_model(client, predictor):
    response = client.post("/predict/batch", files=[("images", b"broken")], params={"maps": "none"})
    assert response.status_code == 200
    assert len(strict_json(response)) == 1
    assert predictor.batches == []


def test_a_batch_of_too_many_files_is_422(client):
    files = [("images", ("a.png", b"x", "image/png"))] * 257
    assert_refused(client.post("/predict/batch", files=files), 422, "256")
