"""Compressed bodies: both ways agree with Python's own, and nothing grows over the limit."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from service.http.codings import accepted_coding, content_coding, deflate, inflate
from service.http.errors import RequestError


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate"]))
def test_what_is_deflated_inflates_to_the_same(data, coding):
    assert inflate(deflate(data, coding), coding, len(data)) == data


def test_both_formats_are_those_of_http():
    assert gzip.decompress(deflate(b"scene", "gzip")) == b"scene"
    assert zlib.decompress(deflate(b"scene", "deflate")) == b"scene"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_413_and_is_not_inflated(coding):
    bomb = deflate(bytes(50_000_000), coding)
    assert len(bomb) < 1_000_000
    with pytest.raises(RequestError, match="at most 1000000 bytes once inflated") as caught:
        inflate(bomb, coding, 1_000_000)
    assert caught.value.status == 413


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_not_whole_or_not_compressed_at_all_is_400(coding):
    data = deflate(b"scene" * 100, coding)
    for bad in (b"", b"scene", data[:-1], data[:10], data + b"x", data + data):
        with pytest.raises(RequestError, match=f"{coding} data") as caught:
            inflate(bad, coding, 1000)
        assert caught.value.status == 400


def test_which_compression_a_client_uses_and_which_it_asks_for():
    for given_, coding in (
        ("gzip", "gzip"),
        (" Deflate ", "deflate"),
        ("x-gzip", "gzip"),
        ("identity", ""),
        ("", ""),
    ):
        assert content_coding(Headers({"content-encoding": given_}).raw) == coding
    assert content_coding([]) == ""
    assert content_coding([(b"content-encoding", b"identity"), (b"content-encoding", b"gzip")]) == "gzip"
    for given_ in ("br", "gzip, gzip", "x", "\xff"):
        with pytest.raises(RequestError, match="expected gzip, deflate or identity") as caught:
            content_coding(Headers({"content-encoding": given_}).raw)
        assert caught.value.status == 415
        assert caught.value.headers == {"Accept-Encoding": "gzip, deflate"}
    for given_, coding in (
        ("gzip", "gzip"),
        ("identity, deflate", "deflate"),
        ("gzip, deflate, br", ""),
        ("*", ""),
        ("br", ""),
        ("gzip;q=0", ""),
        ("", ""),
    ):
        assert accepted_coding(Headers({"accept-encoding": given_})) == coding, given_
