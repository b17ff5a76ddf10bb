"""The wire format alone: what is read is what was written, and nothing that can come breaks it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.contract import OUTPUTS
from service.http.errors import RequestError
from service.v2.tensors import (
    MAX_JSON_BYTES,
    MAX_SCENES,
    OUTPUT_NAMES,
    InferenceRequest,
    Wanted,
    read_index_request,
    read_request,
    write_answer,
)

SCENES = np.random.default_rng(5).integers(0, 256, (2, 1, 100, 100), np.uint8)
TENSOR = {"name": "scene", "shape": [2, 1, 100, 100], "datatype": "UINT8"}
BINARY = {**TENSOR, "parameters": {"binary_data_size": SCENES.nbytes}}


def body(header: Any, behind: bytes = b"") -> tuple[bytes, int]:
    text = orjson.dumps(header)
    return text + behind, len(text)


def refusal(data: bytes, json_bytes: int | None = None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_request(data, json_bytes)
    return caught.value


@pytest.mark.parametrize("data", [SCENES.tolist(), SCENES.ravel().tolist()], ids=["nested", "flat"])
def test_scenes_in_json_nested_or_flat(data):
    request = read_request(orjson.dumps({"inputs": [{**TENSOR, "data": data}]}), None)
    np.testing.assert_array_equal(request.scenes, SCENES)
    assert request.scenes.dtype == np.uint8
    assert request.outputs == tuple(Wanted(name, False) for name in OUTPUT_NAMES)
    assert request.id is None


def test_binary_scenes_are_a_view_of_the_body():
    data, json_bytes = body({"id": "7", "inputs": [BINARY]}, SCENES.tobytes())
    request = read_request(data, json_bytes)
    np.testing.assert_array_equal(request.scenes, SCENES)
    assert np.shares_memory(request.scenes, np.frombuffer(data, np.uint8))
    assert request.id == "7"


def test_scenes_alone():
    request = read_request(SCENES.tobytes(), 0)
    np.testing.assert_array_equal(request.scenes, SCENES)
    assert request.outputs == tuple(Wanted(name, True) for name in OUTPUT_NAMES)


def test_outputs_come_in_the_order_of_the_request_each_as_it_says():
    header = {
        "inputs": [BINARY],
        "outputs": [
            {"name": "glimpse"},
            {"name": "box", "parameters": {"binary_data": False}},
            {"name": "attention", "parameters": {"binary_data": True, "classification": 0}},
        ],
    }
    for all_binary in (None, False, True):
        parameters = {"binary_data_output": all_binary, "priority": 3}
        request = read_request(*body({**header, "parameters": parameters}, SCENES.tobytes()))
        assert request.outputs == (("glimpse", bool(all_binary)), ("box", False), ("attention", True))


def test_what_clients_leave_unsaid_may_be_null_and_what_they_say_besides_is_passed_over():
    header = {
        "model_name": "other",
        "id": None,
        "parameters": None,
        "outputs": None,
        "inputs": [{**BINARY, "data": None}],
    }
    assert read_request(*body(header, SCENES.tobytes())).outputs[0] == ("probabilities", False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "image"}, ("inputs", "scene", "'image'")),
        ({"name": None}, ("inputs", "scene", "nothing")),
        ({"datatype": "FP32"}, ("scene.datatype", "UINT8", "'FP32'")),
        ({"datatype": 3}, ("scene.datatype", "a string", "3")),
        ({"shape": [0, 1, 100, 100]}, ("scene.shape", "n from 1 to 256", "[0, 1, 100, 100]")),
        ({"shape": [257, 1, 100, 100]}, ("scene.shape", "n from 1 to 256", "[257, 1, 100, 100]")),
        ({"shape": [2**62, 1, 100, 100]}, ("scene.shape", "[4611686018427387904, 1, 100, 100]")),
        ({"shape": [2, 100, 100]}, ("scene.shape", "[n, 1, 100, 100]", "[2, 100, 100]")),
        ({"shape": [-2, 1, 100, -100]}, ("scene.shape", "[-2, 1, 100, -100]")),
        ({"shape": [True, 1, 100, 100]}, ("scene.shape", "[True, 1, 100, 100]")),
        ({"shape": [2.0, 1, 100, 100]}, ("scene.shape", "[2.0, 1, 100, 100]")),
        ({"shape": [[2], 1, 100, 100]}, ("scene.shape", "a list of 4")),
        ({"shape": [1] * 9}, ("scene.shape", "a list of 9")),
        ({"shape": []}, ("scene.shape", "[]")),
        ({"shape": "2"}, ("scene.shape", "a list", "'2'")),
        ({"shape": [1, 1, 100, 100]}, ("scene", "10000 bytes", "[1, 1, 100, 100]", "20000")),
        ({"parameters": {"binary_data_size": 19_999}}, ("body", "19999 bytes", "20000")),
        ({"parameters": {"binary_data_size": -1}}, ("body", "-1 bytes", "20000")),
        ({"parameters": {"binary_data_size": "20000"}}, ("binary_data_size", "a whole number", "'20000'")),
        ({"parameters": {}}, ("either data or parameters.binary_data_size", "neither")),
        ({"data": [0] * 20_000}, ("either data or parameters.binary_data_size", "both")),
        ({"parameters": {"shared_memory_region": "r"}}, ("scene", "shared memory")),
        ({"parameters": []}, ("scene.parameters", "an object", "[]")),
    ],
)
def test_a_bad_input_is_refused_with_its_name_what_was_expected_and_what_came(change, words):
    error = refusal(*body({"inputs": [{**BINARY, **change}]}, SCENES.tobytes()))
    assert error.status == 400
    for word in words:
        assert word in error.detail, error.detail


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([256, *[0] * 19_999], ("whole numbers from 0 to 255", "256")),
        ([*[0] * 19_999, -1], ("whole numbers from 0 to 255", "-1")),
        ([*[0] * 19_999, 1.5], ("whole numbers from 0 to 255", "1.5")),
        ([*[0] * 19_999, 1.0], ("whole numbers from 0 to 255", "1.0")),
        ([*[0] * 19_999, True], ("whole numbers from 0 to 255", "True")),
        ([*[0] * 19_999, None], ("whole numbers from 0 to 255", "nothing")),
        ([*[0] * 19_999, "7"], ("whole numbers from 0 to 255", "'7'")),
        ([*[0] * 19_999, [7]], ("whole numbers from 0 to 255", "[7]")),
        ([0] * 19_999, ("20000 numbers", "a list of 19999 in place of a list of 20000")),
        ([], ("20000 numbers", "[] in place of a list of 20000")),
        ([[0] * 10_000] * 2, ("a list of 10000 in place of a list of 1",)),
        (SCENES.tolist()[:1], ("a list of 1 in place of a list of 2",)),
        ([SCENES.tolist()[0], 5], ("5 in place of a list of 1",)),
        (5, ("a list", "5")),
    ],
)
def test_bad_numbers_are_refused(data, words):
    error = refusal(orjson.dumps({"inputs": [{**TENSOR, "data": data}]}))
    assert error.status == 400
    for word in ("scene.data", *words):
        assert word in error.detail, error.detail


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([{"name": "labels"}], ("probabilities, box", "'labels'")),
        ([{}], ("probabilities, box", "nothing")),
        (["box"], ("objects", "'box'")),
        ({"name": "box"}, ("a list", "an object of 1")),
        ([{"name": "box"}, {"name": "box"}], ("once", "box twice")),
        ([{"name": "box", "parameters": {"classification": 3}}], ("box", "classification is not offered")),
        ([{"name": "box", "parameters": {"binary_data": 1}}], ("box.parameters.binary_data", "true or", "1")),
        ([{"name": "box", "parameters": {"shared_memory_region": "r"}}], ("box", "shared memory")),
    ],
)
def test_a_bad_output_is_refused(outputs, words):
    error = refusal(*body({"inputs": [BINARY], "outputs": outputs}, SCENES.tobytes()))
    assert error.status == 400
    for word in words:
        assert word in error.detail, error.detail


@pytest.mark.parametrize(
    ("data", "json_bytes", "words"),
    [
        (b"", None, ("body", "JSON in its first 0 bytes")),
        (b"{", None, ("body", "JSON")),
        (b"[NaN]", None, ("body", "JSON")),
        (b'{"inputs": 1e999}', None, ("body", "infinity")),
        (b'"\xff"', None, ("body", "JSON")),
        (b'{"id": "\\ud800"}', None, ("body", "JSON")),
        (b"[" * 5000, None, ("body", "JSON")),
        (b"[" + b"[]," * 30_000 + b"[]]", None, ("at most 27112 lists and objects", "30002")),
        (b"[" + b"{}," * 30_000 + b"{}]", None, ("at most 27112 lists and objects", "30002")),
        (b"[]", None, ("a JSON object", "[]")),
        (b"null", None, ("a JSON object", "nothing")),
        (b"{}", None, ("inputs", "0 inputs")),
        (b'{"inputs": [{}, {}]}', None, ("inputs", "2 inputs")),
        (b'{"inputs": [3]}', None, ("inputs", "one object", "3")),
        (b'{"id": 7}', None, ("id", "a string", "7")),
        (b'{"parameters": {"binary_data_output": "true"}}', None, ("binary_data_output", "true or false")),
        (b"{}", 3, ("Inference-Header-Content-Length", "at most the body's 2 bytes", "3")),
        (b"{} ", 2, ("inputs",)),
        (b"", 0, ("scene.shape", "[0, 1, 100, 100]")),
        (bytes(10_001), 0, ("scenes of 10000 bytes each", "10001 bytes")),
        (bytes(10_000 * (MAX_SCENES + 1)), 0, ("scene.shape", "[257, 1, 100, 100]")),
    ],
)
def test_a_bad_body_is_refused(data, json_bytes, words):
    error = refusal(data, json_bytes)
    assert error.status == 400
    for word in words:
        assert word in error.detail, error.detail


def test_binary_data_behind_json_that_speaks_of_none_is_refused():
    error = refusal(*body({"inputs": [{**TENSOR, "data": SCENES.ravel().tolist()}]}, b"x"))
    assert error.detail == "body: expected 0 bytes of binary data behind the JSON, got 1"


def test_more_json_than_is_read_is_413():
    assert refusal(b" " * (MAX_JSON_BYTES + 1)).status == 413
    with pytest.raises(RequestError, match="at most 4194304 bytes") as caught:
        read_index_request(b" " * (MAX_JSON_BYTES + 1))
    assert caught.value.status == 413


def test_a_value_too_deep_to_be_written_out_is_named_by_its_length():
    # orjson reads to a depth at which Python's own repr gives up.
    deep = b"[" * 1015 + b"]" * 1015
    for header in (b'{"id": %s}', b'{"inputs": [%s]}', b'{"inputs": [{"name": "scene", "datatype": %s}]}'):
        assert "a list of 1" in refusal(header % deep).detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "data", "shape", "x"]), inner, max_size=4)
    ),
    max_leaves=10,
)
PARAMETERS = (
    st.fixed_dictionaries(
        {},
        optional={
            "binary_data_size": JSON | st.just(10_000),
            "binary_data": JSON,
            "binary_data_output": JSON,
            "classification": JSON,
        },
    )
    | JSON
)
INPUT = (
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("scene") | JSON,
            "shape": st.just([1, 1, 100, 100]) | st.lists(st.integers(-1, 200), max_size=5) | JSON,
            "datatype": st.just("UINT8") | JSON,
            "parameters": PARAMETERS,
            "data": st.just([0] * 10_000) | JSON,
        },
    )
    | JSON
)
OUTPUT = (
    st.fixed_dictionaries(
        {}, optional={"name": st.sampled_from(OUTPUT_NAMES) | JSON, "parameters": PARAMETERS}
    )
    | JSON
)
HEADER = (
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.text() | JSON,
            "parameters": PARAMETERS,
            "inputs": st.lists(INPUT, max_size=2) | JSON,
            "outputs": st.lists(OUTPUT, max_size=3) | JSON,
        },
    )
    | JSON
)


def whole_or_refused(data: bytes, json_bytes: int | None) -> None:
    try:
        request = read_request(data, json_bytes)
    except RequestError as refused:
        status, detail = refused.status, refused.detail
    else:
        assert request.scenes.shape[1:] == (1, 100, 100)
        assert write_answer(outputs_of(len(request.scenes)), request, "m", "1").body
        return
    assert status == 400
    assert len(detail.encode()) < 400


@given(HEADER, st.sampled_from([b"", bytes(10_000)]))
@example({"inputs": [{**TENSOR, "shape": [1, 1, 100, 100], "data": [0] * 10_000}], "id": "\ud800"}, b"")
@example({"inputs": [{**BINARY, "shape": [1, 1, 100, 100]}]}, bytes(20_000))
def test_any_json_is_answered_or_refused(header, behind):
    # Python's own encoder writes NaN, lone surrogates and huge numbers, as some clients do.
    text = json.dumps(header).encode()
    whole_or_refused(text + behind, len(text) if behind else None)


@given(st.binary(max_size=60), st.none() | st.integers(0, 80))
def test_any_bytes_are_answered_or_refused(data, json_bytes):
    whole_or_refused(data, json_bytes)


def outputs_of(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(count)
    return {
        output.name: rng.random((count, *(int(size) for size in output.shape[1:])), np.float32)
        for output in OUTPUTS
    }


@pytest.mark.parametrize("count", [1, 3])
def test_an_answer_holds_the_outputs_to_the_last_bit(count):
    outputs = outputs_of(count)
    wanted = (Wanted("box", True), Wanted("attention_map", False), Wanted("digit_present", True))
    answer = write_answer(outputs, InferenceRequest(SCENES, wanted, "é"), "glimpse", "1.2")
    assert answer.json_bytes is not None
    header = orjson.loads(answer.body[: answer.json_bytes])
    assert {key: header[key] for key in ("id", "model_name", "model_version")} == {
        "id": "é",
        "model_name": "glimpse",
        "model_version": "1.2",
    }
    position = answer.json_bytes
    for (name, binary), entry in zip(wanted, header["outputs"], strict=True):
        assert (entry["name"], entry["datatype"]) == (name, "FP32")
        assert entry["shape"] == list(outputs[name].shape)
        if binary:
            size = entry["parameters"]["binary_data_size"]
            values = np.frombuffer(answer.body[position : position + size], "<f4")
            position += size
        else:
            assert "parameters" not in entry
            values = np.array(entry["data"], np.float32)
        np.testing.assert_array_equal(values, outputs[name].ravel())
    assert position == len(answer.body)


def test_an_answer_in_json_alone_has_no_other_length_and_only_the_id_that_came():
    answer = write_answer(outputs_of(1), InferenceRequest(SCENES, (Wanted("box", False),), None), "m", "1")
    assert answer.json_bytes is None
    assert set(orjson.loads(answer.body)) == {"model_name", "model_version", "outputs"}


def test_slices_that_are_not_contiguous_are_written_as_they_read():
    values = np.arange(80, dtype=np.float32).reshape(2, 40)[:, ::10]
    for binary in (False, True):
        request = InferenceRequest(SCENES, (Wanted("box", binary),), None)
        answer = write_answer({"box": values}, request, "m", "1")
        if binary:
            written = np.frombuffer(answer.body[answer.json_bytes :], "<f4")
        else:
            written = np.array(orjson.loads(answer.body)["outputs"][0]["data"])
        np.testing.assert_array_equal(written, values.ravel())


def test_the_index_request_may_be_empty():
    for data, only_ready in ((b"", False), (b"{}", False), (b'{"ready": true}', True)):
        assert read_index_request(data) is only_ready
    for data in (b"x", b"[]", b'{"ready": 1}'):
        with pytest.raises(RequestError) as caught:
            read_index_request(data)
        assert caught.value.status == 400
