"""Forms of too many parts, of huge heads and fields, and cut off in the middle."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.http.multipart import MAX_HEAD_BYTES, FormError, FormPart, parse_form
from service.schemas import Problem
from tests.service.hostile import noise
from tests.service.listening import asking

TYPE = "multipart/form-data; boundary=b"
PNG = noise("PNG")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with asking() as client:
        yield client


def part(content: bytes, name: str = "images", head: bytes = b"") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="a.png"'.encode()
    return b"--b\r\n" + disposition + b"\r\n" + head + b"\r\n" + content + b"\r\n"


END = b"--b--\r\n"


def post(client, body, path="/predict/batch", content_type=TYPE):
    return client.post(f"{path}?maps=none", content=body, headers={"content-type": content_type})


def assert_refused(response, status, *words):
    assert response.status_code == status, response.content[:200]
    detail = Problem.model_validate_json(response.content).detail
    for word in words:
        assert word in detail


@pytest.mark.parametrize("length", [*range(0, len(PNG), 97), len(PNG), len(PNG) + 1])
def test_a_form_that_is_cut_off_is_422_although_some_files_are_whole(client, length):
    body = part(PNG) + part(PNG)
    whole = len(part(PNG))
    assert_refused(post(client, body[: whole + length]), 422, "cut off")
    assert_refused(post(client, body), 422, "cut off")
    assert post(client, body + END).status_code == 200


def test_every_cut_of_a_form_is_an_error():
    body = part(b"one") + part(b"two") + b"--b--"
    assert [part.content for part in parse_form(body, TYPE, 2)] == [b"one", b"two"]
    for length in range(len(body)):
        with pytest.raises(FormError):
            parse_form(body[:length], TYPE, 2)


def test_what_forms_may_hold():
    odd = 'multipart/form-data; charset=utf-8; BOUNDARY="a b; c"'
    body = (
        b"preamble\r\n--a b; c\r\n"
        b"content-disposition:form-data;name=plain\r\n\r\n\r\n\r\n--a b; c\r\n"
        b'X: y\r\nContent-Disposition: form-data; filename*=utf-8\'\'a.png; name="a\\"b"\r\n'
        b"Content-Type: image/png\r\n\r\nx\r\n--a b;\r\n--a b; c--epilogue"
    )
    assert parse_form(body, odd, 2) == [
        FormPart("plain", is_file=False, content_type="", content=b"\r\n"),
        FormPart('a"b', is_file=True, content_type="image/png", content=b"x\r\n--a b;"),
    ]


def test_a_boundary_ends_its_line():
    for end in (b" \t", b"x"):
        with pytest.raises(FormError, match="after part 0: Unexpected byte after first boundary"):
            parse_form(part(b"x").replace(b"--b", b"--b" + end, 1) + END, TYPE, 2)


def test_the_heads_of_a_part_are_bounded_together():
    assert len(parse_form(part(b"x", head=b"X: " + b"x" * 4000 + b"\r\n") + END, TYPE, 2)) == 1
    with pytest.raises(FormError, match="head of a part"):
        parse_form(part(b"x", head=(b"X: " + b"x" * 4000 + b"\r\n") * 3) + END, TYPE, 2)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "b" * 71,
        "multipart/form-data; boundary=" + "b" * 50_000,
        "multipart/form-data; notboundary=b",
        "multipart/form-data" + ";a" * 20_000,
    ],
)
def test_a_boundary_has_1_to_70_characters(client, content_type):
    start = time.process_time()
    assert_refused(post(client, part(PNG) + END, content_type=content_type), 422, "boundary of 1 to 70")
    assert time.process_time() - start < 2


def test_thousands_of_parts_are_422_at_once(client):
    start = time.process_time()
    assert_refused(post(client, part(b"") * 300 + END), 422, "at most 256 files")
    assert_refused(post(client, part(b"") * 2000 + END), 422, "at most 320 parts")
    assert_refused(post(client, part(b"x", "image") * 300 + END, "/predict"), 422, "at most 256 files")
    fields = b'--b\r\nContent-Disposition: form-data; name="images"\r\n\r\n\r\n'
    assert_refused(post(client, fields * 3000 + END), 422, "at most 320 parts")
    assert time.process_time() - start < 5


@pytest.mark.parametrize("head", [b"X: " + b"x" * 100_000 + b"\r\n", b"X: x\r\n" * 20_000, b"x" * 100_000])
def test_a_huge_head_of_a_part_is_422(client, head):
    assert_refused(post(client, part(PNG, head=head) + END), 422, "head of a part", f"{MAX_HEAD_BYTES} bytes")


def test_huge_names_and_fields_are_422_and_not_repeated_at_length(client):
    response = post(client, part(PNG, name="x" * 5000) + END)
    assert_refused(response, 422, "field images or file")
    assert len(response.content) < 400
    field = b'--b\r\nContent-Disposition: form-data; name="images"\r\n\r\n' + b"y" * 150_000 + b"\r\n"
    response = post(client, field + END)
    assert_refused(response, 422, "expected a file")
    assert len(response.content) < 400
    names = b"".join(part(b"", f"n{number}") for number in range(200))
    assert len(post(client, names + END).content) < 400


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n--b" * 400_000,
        b"\r\n--bx" * 400_000,
        b"--b\r\n" * 400_000,
        b"\r\n--" * 800_000,
        b"--b\r\n" + b"\r\n\r\n" * 800_000,
        part(b"\r\n--" * 800_000)[:-2],
    ],
    ids=range(6),
)
def test_no_body_takes_longer_than_its_length_explains(body):
    start = time.process_time()
    with pytest.raises(FormError):
        parse_form(body, TYPE, 65_536)
    assert time.process_time() - start < 2


def test_odd_bytes_in_names_are_422(client):
    for name in (b"images\xff", b"\x00", "ímages".encode()):
        body = b'--b\r\nContent-Disposition: form-data; name="' + name + b'"; filename="a"\r\n\r\nx\r\n' + END
        assert_refused(post(client, body), 422)
