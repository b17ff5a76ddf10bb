from __future__ import annotations

import re

import pytest

from service.schemas import Problem

MODEL = "/v2/models/blob"
VERSION = f"{MODEL}/versions/0.0.1"
OPEN_INFERENCE = {
    ("get", "/v2"),
    ("get", "/v2/health/live"),
    ("get", "/v2/health/ready"),
    ("post", "/v2/repository/index"),
    *(("get", f"{path}{call}") for path in (MODEL, VERSION) for call in ("", "/config", "/ready")),
    *(("post", f"{path}/infer") for path in (MODEL, VERSION)),
}


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


def test_every_call_of_the_interface_is_there(document):
    calls = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert calls == {
        ("post", "/predict"),
        ("post", "/predict/batch"),
        ("get", "/synthesize"),
        ("get", "/synthesize/json"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
        ("get", "/"),
        *OPEN_INFERENCE,
    }


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("post", "/predict", {"200", "413", "415", "422", "503"}),
        ("post", "/predict/batch", {"200", "413", "415", "422", "503"}),
        ("get", "/synthesize", {"200", "409", "422", "503"}),
        ("get", "/synthesize/json", {"200", "409", "422", "503"}),
        ("get", "/readyz", {"200", "503"}),
        ("get", "/healthz", {"200"}),
    ],
)
def test_every_status_is_there_and_every_error_has_an_example(document, method, path, statuses):
    responses = document["paths"][path][method]["responses"]
    statuses = statuses | {"400", "408", "431", "501", "505"}  # before it is known what a request asks
    assert list(responses) == sorted(statuses)
    for status in statuses - {"200"}:
        (content,) = responses[status]["content"].values()
        assert set(responses[status]["content"]) == {"application/problem+json"}
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert Problem.model_validate(content["example"]).status == int(status)


def test_every_field_of_every_answer_is_described(document):
    schemas = document["components"]["schemas"]
    assert {"PredictionAnswer", "PredictedSceneAnswer", "ErrorAnswer", "Problem"} <= set(schemas)
    assert "HTTPValidationError" not in schemas
    for name, schema in schemas.items():
        assert schema["description"], name
        for field, content in schema["properties"].items():
            assert content.get("description"), f"{name}.{field}"


def test_every_parameter_is_described_with_its_range(document):
    parameters = {p["name"]: p for p in document["paths"]["/synthesize/json"]["get"]["parameters"]}
    assert set(parameters) == {
        *("digit", "x", "y", "size", "clutter", "noise", "digit_noise"),
        *("paper", "digits", "style", "seed", "predict"),
    }
    of_the_picture = {p["name"]: p for p in document["paths"]["/synthesize"]["get"]["parameters"]}
    assert of_the_picture == {name: each for name, each in parameters.items() if name != "predict"}
    for parameter in parameters.values():
        assert parameter["description"]
        assert parameter["in"] == "query"
        assert not parameter["required"]
    ranges = parameters["size"]["schema"]["anyOf"][0]
    assert (ranges["minimum"], ranges["maximum"]) == (20, 64)
    maps = document["paths"]["/predict"]["post"]["parameters"]
    assert [(p["name"], p["schema"]["enum"]) for p in maps] == [("maps", ["array", "png", "none"])]


def test_the_bodies_are_described(document):
    one = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "image/png", "image/tiff"} <= set(one)
    assert "image" in one["multipart/form-data"]["schema"]["properties"]
    many = document["paths"]["/predict/batch"]["post"]["requestBody"]["content"]
    assert set(many) == {"multipart/form-data"}
    content = document["paths"]["/synthesize"]["get"]["responses"]["200"]["content"]
    assert set(content) == {"image/png"}


def test_operations_are_named_and_sorted_for_generated_clients(document):
    operations = {
        call["operationId"]: call for methods in document["paths"].values() for call in methods.values()
    }
    assert {"predict", "predict_batch", "synthesize", "synthesize_json", "get_readiness", "infer"} <= set(
        operations
    )
    tags = {tag["name"] for tag in document["tags"]}
    assert all(tag["description"] for tag in document["tags"])
    for name, call in operations.items():
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name), "a version would change it"
        assert len(call["tags"]) == 1
        assert set(call["tags"]) <= tags
        assert call["summary"]
        assert call["description"]


def test_each_operation_has_one_type_of_answer(document):
    for methods in document["paths"].values():
        for call in methods.values():
            kinds = call["responses"]["200"]["content"]
            schemas = [
                content["schema"] for content in kinds.values() if content["schema"].get("type") != "string"
            ]
            assert len(schemas) <= 1
            assert all("anyOf" not in schema and "oneOf" not in schema for schema in schemas)


def test_what_a_query_leaves_out_of_an_answer_may_be_absent(document):
    schemas = document["components"]["schemas"]
    for name, beyond in (
        ("PredictionAnswer", {"attention_map", "glimpse"}),
        ("PredictedSceneAnswer", {"prediction"}),
    ):
        required = set(schemas[name]["required"])
        assert required
        assert beyond <= set(schemas[name]["properties"]) - required


def test_the_page_is_html(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/nowhere", "/page/%00", "/%ff", "/page/main.js/x", "/predict/"])
def test_unknown_paths_are_404_in_json(client, path):
    response = client.get(path, follow_redirects=True)
    assert response.status_code == 404
    assert not response.history
    assert "/docs" in response.json()["detail"]
