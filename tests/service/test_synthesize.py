from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from scenes.mnist import DigitsUnavailableError
from service.app import create_app
from service.inference.engine import engine_in_process
from service.schemas import PredictedSceneAnswer, Problem, SceneAnswer
from service.settings import Settings
from tests.service.fakes import BarGenerator, fake_digits


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        return np.asarray(image)


def from_uri(uri: str) -> bytes:
    prefix, _, content = uri.partition(",")
    assert prefix == "data:image/png;base64"
    return base64.b64decode(content)


def scene(client, **query):
    response = client.get("/synthesize", params={"format": "json", **query})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_png_by_default(client):
    response = client.get("/synthesize")
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert response.headers["cache-control"] == "no-store"
    assert pixels(response.content).shape == (100, 100)


def test_json_holds_the_picture_the_truth_and_what_was_used(client):
    answer = scene(client, digit=7, x=60, y=31.5, size=40, clutter=0, noise=0, digit_noise=0, style=8, seed=5)
    SceneAnswer.model_validate(answer)
    assert set(answer) == {"image", "truth", "parameters"}
    assert answer["parameters"] == {
        "digit": 7,
        "x": 60,
        "y": 31.5,
        "size": 40,
        "clutter": 0,
        "noise": 0,
        "digit_noise": 0,
        "paper": False,
        "digits": "generated",
        "style": 8,
        "seed": 5,
    }
    assert answer["truth"]["label"] == 7
    rows, columns = np.nonzero(pixels(from_uri(answer["image"])) > 0.25 * 255)
    box = answer["truth"]["bbox"]
    assert (box["x"], box["y"]) == (columns.min(), rows.min())
    assert (box["width"], box["height"]) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert 40 <= box["x"] <= box["x"] + box["width"] <= 80
    assert 11.5 <= box["y"] <= box["y"] + box["height"] <= 51.5


def test_on_paper_a_scene_looks_otherwise_and_shows_the_same_truth(client):
    query = {"digit": 4, "x": 40, "y": 60, "size": 44, "clutter": 2, "seed": 5}
    plain, paper = scene(client, **query), scene(client, **query, paper="true")
    assert paper["truth"] == plain["truth"]
    assert paper["parameters"] == plain["parameters"] | {"paper": True}
    # Its ground is no longer dark but for the noise: some of what was black has a level of its own.
    before, after = (pixels(from_uri(answer["image"])).astype(int) for answer in (plain, paper))
    assert np.abs(after - before).mean() > 10
    assert scene(client, **query, paper="true") == paper


def test_one_seed_is_one_scene_and_none_is_another_each_time(client):
    seeded = [client.get("/synthesize", params={"seed": 11}).content for _ in range(2)]
    assert seeded[0] == seeded[1]
    assert from_uri(scene(client, seed=11)["image"]) == seeded[0]
    seeds = {scene(client)["parameters"]["seed"] for _ in range(5)}
    assert len(seeds) > 1


@pytest.mark.parametrize("digits", ["generated", "mnist"])
@pytest.mark.parametrize("seed", range(8))
def test_the_parameters_as_used_make_the_same_scene_again(client, seed, digits):
    first = scene(client, seed=seed, digits=digits)
    assert first["parameters"]["digits"] == digits
    assert scene(client, **first["parameters"]) == first


def test_digits_are_generated_by_default_those_of_the_clutter_too(client, generator):
    answer = scene(client, seed=5, clutter=6)
    assert answer["parameters"]["digits"] == "generated"
    ((classes, styles),) = generator.asked
    assert classes[0] == answer["truth"]["label"]
    assert styles[0] == answer["parameters"]["style"]
    assert answer["truth"]["label"] not in classes[1:]
    assert len(classes) == len(set(styles)) == 7


@pytest.mark.parametrize("digits", ["generated", "mnist"])
def test_a_style_changes_the_handwriting_and_nothing_else(client, digits):
    def pixels_of(**query):
        answer = scene(client, digit=6, x=50, y=50, size=30, seed=9, digits=digits, **query)
        rest = {name: value for name, value in answer["parameters"].items() if name != "style"}
        return pixels(from_uri(answer["image"])), rest

    (first, rest), (second, same_rest) = (pixels_of(style=style) for style in (0, 1))
    assert rest == same_rest
    changed = first != second
    assert changed.any()
    canvas = np.zeros_like(changed)
    canvas[35:65, 35:65] = True
    assert not (changed & ~canvas).any()


def test_mnists_styles_are_its_digits_of_a_class_round_and_round(client):
    bare = {"digits": "mnist", "digit": 4, "noise": 0, "digit_noise": 0, "clutter": 0, "seed": 3}
    images = [scene(client, **bare, style=style)["image"] for style in range(4)]
    assert images[0] == images[2] != images[1] == images[3]


@pytest.mark.parametrize("seed", range(4))
def test_a_clutter_count_adds_digits_and_leaves_the_others(client, generator, seed):
    for clutter in (3, 16):
        scene(client, seed=seed, clutter=clutter)
    (few, few_styles), (many, many_styles) = generator.asked
    assert (few, few_styles) == (many[:4], many_styles[:4])


def test_the_prediction_is_what_predict_says_of_that_scene(client):
    answer = scene(client, seed=3, predict="true")
    PredictedSceneAnswer.model_validate(answer)
    posted = client.post(
        "/predict", content=from_uri(answer["image"]), headers={"content-type": "image/png"}
    ).json()
    assert {**answer["prediction"], "timing_ms": 0} == {**posted, "timing_ms": 0}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("digit=10", "digit: expected a whole number from 0 to 9, got '10'"),
        ("digit=-1", "digit: expected a whole number from 0 to 9, got '-1'"),
        ("digit=three", "digit: expected a whole number from 0 to 9, got 'three'"),
        ("digit=2.5", "digit: expected a whole number from 0 to 9, got '2.5'"),
        ("size=19.9", "size: expected a number from 20 to 64, got '19.9'"),
        ("size=70", "size: expected a number from 20 to 64, got '70'"),
        ("size=nan", "size: expected a number from 20 to 64, got 'nan'"),
        ("size=", "size: expected a number from 20 to 64, got ''"),
        ("clutter=17", "clutter: expected a whole number from 0 to 16, got '17'"),
        ("noise=0.41", "noise: expected a number from 0 to 0.4, got '0.41'"),
        ("noise=inf", "noise: expected a number from 0 to 0.4, got 'inf'"),
        ("noise=-1e999", "noise: expected a number from 0 to 0.4, got '-1e999'"),
        ("digit_noise=0.31", "digit_noise: expected a number from 0 to 0.3, got '0.31'"),
        ("style=-1", "style: expected a whole number from 0 to 2147483647, got '-1'"),
        ("seed=-1", "seed: expected a whole number from 0 to 2147483647, got '-1'"),
        ("seed=2147483648", "seed: expected a whole number from 0 to 2147483647, got '2147483648'"),
        ("x=9.9", "x: expected a number from 10 to 90, got '9.9'"),
        ("y=nan", "y: expected a number from 10 to 90, got 'nan'"),
        ("x=13&size=28", "x: expected a number from 14 to 86, where a canvas of 28 px fits, got 13"),
        ("y=86.5&size=28", "y: expected a number from 14 to 86, where a canvas of 28 px fits, got 86.5"),
        ("format=gif", "format: expected png or json, got 'gif'"),
        ("predict=perhaps&format=json", "predict: expected true or false, got 'perhaps'"),
        ("predict=true", "predict: expected format=json"),
        ("digits=3", "digits: expected generated or mnist, got '3'"),
        ("figures=3", "got 'figures'"),
        ("%ff=%fe", "query: expected parameters among digit, x, y"),
        ("size=%ff%00", "size: expected a number from 20 to 64, got"),
    ],
)
def test_a_bad_parameter_is_422_and_named(client, query, message):
    response = client.get(f"/synthesize?{query}")
    assert response.status_code == 422, response.text
    assert message in Problem.model_validate(response.json()).detail


def test_two_bad_parameters_are_both_named(client):
    detail = client.get("/synthesize?size=1&noise=9").json()["detail"]
    assert "size: " in detail
    assert "noise: " in detail


def test_a_long_value_is_not_echoed_in_full(client):
    assert len(client.get(f"/synthesize?size={'9' * 5000}").json()["detail"]) < 200


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(x=st.floats(10, 90), y=st.none() | st.floats(10, 90), seed=st.integers(0, 2**31 - 1))
def test_a_size_that_is_not_given_fits_the_place_that_is(client, x, y, seed):
    query = {"x": x, "seed": seed} if y is None else {"x": x, "y": y, "seed": seed}
    used = scene(client, **query)["parameters"]
    half = used["size"] / 2
    assert 10 <= half <= 24
    for name in ("x", "y"):
        assert half - 1e-5 <= used[name] <= 100 - half + 1e-5
    assert used["x"] == pytest.approx(x, abs=1e-5)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.none() | st.floats(20, 64),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    clutter=st.integers(0, 16),
    noise=st.floats(0, 0.4),
    digit_noise=st.floats(0, 0.3),
)
def test_all_that_is_allowed_is_answered(client, size, place, clutter, noise, digit_noise):
    query = {"clutter": clutter, "noise": noise, "digit_noise": digit_noise}
    if size is not None:
        query |= {
            name: min(max(size / 2 + share * (100 - size), size / 2), 100 - size / 2)
            for name, share in zip("xy", place, strict=True)
        } | {"size": size}
    SceneAnswer.model_validate(scene(client, **query))


def test_without_mnist_it_is_409_with_the_way_to_get_it(predictor, monkeypatch, tmp_path):
    monkeypatch.setenv("GLIMPSE_MNIST_DIR", str(tmp_path))
    with TestClient(create_app(engine_in_process(predictor), Settings(), BarGenerator())) as client:
        response = client.get("/synthesize?digits=mnist")
        assert response.status_code == 409
        assert "GLIMPSE_MNIST_DIR" in Problem.model_validate(response.json()).detail
        assert client.get("/synthesize").status_code == 200
        assert client.get("/readyz").status_code == 200


def test_the_digits_are_looked_for_once_and_never_downloaded(predictor, monkeypatch):
    asked = []

    def load(split, *, download):
        asked.append((split, download))
        if len(asked) == 1:
            raise DigitsUnavailableError("not yet")
        return fake_digits()

    monkeypatch.setattr("service.synthesis.handwriting.load_digits", load)
    with TestClient(create_app(engine_in_process(predictor), Settings(), BarGenerator())) as client:
        assert [client.get("/synthesize?digits=mnist").status_code for _ in range(3)] == [409, 200, 200]
    assert asked == [("test", False)] * 2


def test_json_has_no_constants_that_json_lacks(client):
    text = client.get("/synthesize?format=json&predict=true").text
    assert json.loads(text, parse_constant=pytest.fail)


def test_the_scene_as_json_has_a_path_of_its_own_beside_the_old_one(client):
    for query in ("seed=7", "seed=8&digit=3&predict=true"):
        new, old = client.get(f"/synthesize/json?{query}"), client.get(f"/synthesize?{query}&format=json")
        assert new.status_code == old.status_code == 200
        kept = {name: value for name, value in new.json().items() if name != "prediction"}
        assert kept == {name: value for name, value in old.json().items() if name != "prediction"}
        assert ("prediction" in new.json()) == ("prediction" in old.json()) == ("predict" in query)
        assert new.headers["cache-control"] == old.headers["cache-control"] == "no-store"
    refused = client.get("/synthesize/json?format=png")
    assert refused.status_code == 422
    assert "'format'" in refused.json()["detail"]
