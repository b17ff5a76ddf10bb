"""The reference says all that the OpenAPI document says, and nothing in it runs or is fetched elsewhere."""

from __future__ import annotations

import pytest

from service.docs_page.reference import render_reference
from service.docs_page.reference_schema import Kind, either, kinds
from tests.service.reading import Reading

# The keywords that the reference knows how to show, or leaves out knowingly; another one must not get lost.
SHOWN = {
    *("$ref", "anyOf", "items", "type", "format", "properties", "required", "description", "default"),
    *("enum", "minimum", "maximum", "exclusiveMinimum", "minItems", "maxItems", "pattern", "examples"),
}
LEFT_OUT = {"title", "additionalProperties"}


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


@pytest.fixture
def reading(client):
    return Reading(client.get("/docs").text)


def calls(document):
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            yield f"{method}{path.replace('/', '-')}", f"{method.upper()} {path}", call


def plain(words):
    return words.replace("`", "")


def every_schema(part):
    """All schemas of a document, those within others included."""
    if isinstance(part, list):
        for inner in part:
            yield from every_schema(inner)
    elif isinstance(part, dict):
        if part.keys() & {"type", "$ref", "anyOf"} and not isinstance(part.get("type"), dict):
            yield part
        for name, inner in part.items():
            if name != "example":  # of a problem, whose `type` is no schema's
                yield from every_schema(inner)


def test_every_call_is_there_with_its_meaning_and_its_body(document, reading):
    for anchor, title, call in calls(document):
        said = reading.texts[anchor]
        assert title in said
        assert plain(call["summary"]) in said
        assert plain(call["description"]) in said
        assert title in reading.texts[""], "not in the contents"
        body = call.get("requestBody", {"content": {}})
        assert plain(body.get("description", "")) in said
        for kind in body["content"]:
            assert kind in said
    assert "multipart/form-data: field image, file" in reading.texts["post-predict"]
    assert "multipart/form-data: field images, list of 1 to 256 files" in reading.texts["post-predict-batch"]


def test_every_parameter_is_there_with_its_meaning(document, reading):
    parameters = [
        (anchor, each) for anchor, _, call in calls(document) for each in call.get("parameters", [])
    ]
    assert len(parameters) > 10
    for anchor, parameter in parameters:
        assert parameter["in"] in ("query", "header")
        assert [parameter["name"], plain(parameter["description"])] in [
            [row[0], row[-1]] for row in reading.rows[anchor]
        ]
    synthesize = {row[0]: row[1:4] for row in reading.rows["get-synthesize"]}
    assert synthesize["Name"] == ["Type", "Range", "Default"]
    assert synthesize["size"] == ["number", "20 to 64", ""]
    assert synthesize["seed"] == ["integer", "0 to 2147483647", ""]
    assert synthesize["digits"] == ["string", "generated or mnist", "generated"]
    as_json = {row[0]: row[1:4] for row in reading.rows["get-synthesize-json"]}
    assert as_json["predict"] == ["boolean", "", "false"]


def test_every_status_is_there_with_its_meaning_and_its_example(document, reading):
    for anchor, _, call in calls(document):
        assert reading.statuses[anchor] == list(call["responses"])
        for answer in call["responses"].values():
            assert answer["description"] != "Successful Response"
            assert plain(answer["description"]) in reading.texts[anchor]
            for kind, content in answer.get("content", {}).items():
                assert kind in reading.texts[anchor]
                assert str(content.get("example", {}).get("detail", "")) in reading.texts[anchor]
    assert "application/json: PredictionAnswer" in reading.texts["post-predict"]
    assert "list of PredictionAnswer or ErrorAnswer" in (reading.texts["post-predict-batch"])
    assert "image/png: file" in reading.texts["get-synthesize"]


def test_every_field_is_there_with_its_meaning(document, reading):
    rows = [row for rows in reading.rows.values() for row in rows]
    said = {(row[0].rpartition(".")[2], row[-1].removesuffix(" Optional.")) for row in rows}
    for name, schema in document["components"]["schemas"].items():
        for field, content in schema["properties"].items():
            assert (field, plain(content["description"])) in said, f"{name}.{field}"


def test_objects_are_unfolded_and_unions_are_alternatives(reading):
    rows = reading.rows["PredictionAnswer"]
    kinds_of = {row[0]: row[1:3] for row in rows if len(row) == 4}
    assert kinds_of["label"] == ["integer", "0 to 9"]
    assert kinds_of["probabilities"] == ["list of 10 numbers", "each 0 to 1"]
    assert kinds_of["bbox"] == ["object", ""]
    assert kinds_of["bbox.width"] == ["number", "≥ 0"]
    assert kinds_of["attention.sigma_x"] == ["number", "> 0"]
    assert kinds_of["attention_map"] == ["list of 1 to 100 lists of 1 to 100 numbers", "each 0 to 1"]
    after = rows[[row[0] for row in rows].index("attention_map") + 1]
    assert after == ["or string", "matches ^data:image/png;base64,"]
    scene = {row[0]: row[1] for row in reading.rows["PredictedSceneAnswer"]}
    assert scene["truth.bbox.x"] == "number"
    assert scene["prediction"] == "PredictionAnswer"


def test_no_keyword_of_the_document_gets_lost(document):
    schemas = list(every_schema(document))
    assert len(schemas) > 100
    for schema in schemas:
        assert schema.keys() <= SHOWN | LEFT_OUT, schema


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string", "format": "binary"}, "file"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, "number &gt; 0 and ≤ 0.5"),
        ({"type": "integer", "minimum": -3, "maximum": 2147483647}, "integer -3 to 2147483647"),
        ({"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}]}, "integer ≥ 2"),
        ({"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}}, "list of 2 numbers"),
        ({"type": "array", "items": {"anyOf": [{"$ref": "#/components/schemas/A"}, {"$ref": "/B"}]}},
         'list of <a href="#A">A</a> or objects'),
        ({"type": "string", "enum": ["<b>", "c"]}, "string <code>&lt;b&gt;</code> or <code>c</code>"),
        ({"type": "string", "examples": ["1.0"]}, "string such as <code>1.0</code>"),
    ],
)  # fmt: skip
def test_types_and_ranges_in_words(schema, said):
    assert either(kinds(schema, {"A"})) == said


def test_a_list_holds_the_fields_of_its_objects():
    assert kinds({"type": "array", "items": {"$ref": "#/B"}}, ()) == [Kind("list of objects", "", ("B",))]


def test_nothing_runs_and_nothing_is_fetched_elsewhere(client, reading):
    assert {tag for tag, _ in reading.tags} & {"script", "style", "iframe", "object", "form", "img"} == set()
    ids = [attributes["id"] for _, attributes in reading.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in reading.tags:
        assert attributes.keys() & {"style", "src"} == set()
        assert [name for name in attributes if name.startswith("on")] == []
        link = attributes.get("href") or ""
        assert ":" not in link
        if link.startswith("#"):
            assert link[1:] in ids
        elif link:
            assert client.get(f"/{link}").status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_is_served_as_the_page_is(client, method):
    page, reference = client.request(method, "/"), client.request(method, "/docs")
    assert reference.status_code == 200
    own = {"content-length", "etag", "x-request-id"}
    assert {name: value for name, value in reference.headers.items() if name not in own} == {
        name: value for name, value in page.headers.items() if name not in own
    }
    assert int(reference.headers["content-length"]) > 10_000
    assert (reference.content == b"") == (method == "HEAD")
    again = client.request(method, "/docs", headers={"If-None-Match": reference.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_pages_that_load_scripts_are_gone(client):
    assert client.get("/redoc").status_code == 404
    assert client.get("/docs/oauth2-redirect").status_code == 404


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1:8010", "http://127.0.0.1:8010/healthz"), ("[::1]:8000", "'http://[::1]:8000/healthz'")],
)
def test_the_examples_name_the_host_that_was_asked(client, host, address):
    commands = Reading(client.get("/docs", headers={"Host": host}).text).commands
    assert commands["get-healthz"] == [f"curl {address}"]


@pytest.mark.parametrize("host", ["", "a b", "<script>", "$(id)", "a/b", "'", "x" * 300])
def test_an_odd_host_is_not_repeated(client, host):
    commands = Reading(client.get("/docs", headers={"Host": host}).text).commands
    assert commands["get-healthz"] == ["curl http://localhost:8000/healthz"]


def test_markup_in_the_document_stays_text():
    evil = "<script>alert('`1`')</script>\" onload=\"x"
    call = {
        "summary": evil,
        "description": evil,
        "parameters": [
            {
                "name": evil,
                "in": "query",
                "required": False,
                "description": evil,
                "schema": {"type": "string", "enum": [evil], "default": evil, "examples": [evil]},
            }
        ],
        "requestBody": {"description": evil, "content": {evil: {"schema": {"type": "string"}}}},
        "responses": {
            "200": {
                "description": evil,
                "content": {evil: {"schema": {"$ref": f"#/{evil.replace('/', '')}"}, "example": evil}},
            }
        },
    }
    field = {"type": "string", "description": evil, "pattern": evil}
    schema = {"description": evil, "properties": {evil: field}, "required": []}
    document = {
        "info": {"title": evil, "version": evil, "description": evil},
        "paths": {f"/{evil}": {"post": call}},
        "components": {"schemas": {evil.replace("/", ""): schema}},
    }
    page = render_reference(document, "http://localhost")
    reading = Reading(page)
    assert "<script" not in page
    assert {tag for tag, _ in reading.tags} & {"script"} == set()
    assert not any("onload" in attributes for _, attributes in reading.tags)
    assert "<script>alert('1')" in "".join(reading.texts.values())
