"""The InferenceService against KServe's definition, Kubernetes's pods, Knative's rules, and our own service.

KServe's definition has two megabytes and is not ours: a test with it downloads it once, checked, or takes the
file that `GLIMPSE_KSERVE_CRD` names. It is skipped where neither can be had; all else runs always.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pooch
import pytest
import yaml
from fastapi.testclient import TestClient

from models.contract import MODEL_PATH, load_contract
from service.app import create_app
from service.inference.engine import engine_in_process
from service.inference.predictor import OnnxPredictor
from service.settings import Settings
from tests.docker.manifests import OBJECTS, VERSIONS
from tests.docker.structural import Schema, complaints, read_schema
from tests.service.fakes import BarGenerator, fake_digits
from tests.trainer.tiny import ROOT

MANIFEST = ROOT / "docker" / "kubernetes" / "inferenceservice.yml"
SERVICE: dict[str, Any] = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
PREDICTOR = SERVICE["spec"]["predictor"]
(CONTAINER,) = PREDICTOR["containers"]

KSERVE = "v0.20.0"
DEFINITION = (
    f"https://raw.githubusercontent.com/kserve/kserve/{KSERVE}"
    "/config/crd/full/serving.kserve.io_inferenceservices.yaml"
)
DEFINITION_SHA256 = "57c3bf13f77de94678bf2ae3748056ec071ad2b9e88d6a28f44fb4710758fcff"

# What KServe adds to a pod's spec and the manifest uses (`ComponentExtensionSpec` of its API v1beta1).
OWN_FIELDS = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "containerConcurrency", "timeout"}
# What Knative 1.23 takes of a pod's spec before its administrator allows more (`PodSpecMask` of its API).
KNATIVE_POD = {
    *("containers", "volumes", "serviceAccountName", "imagePullSecrets", "enableServiceLinks"),
    "automountServiceAccountToken",  # and only false
}
KNATIVE_OWN_PORTS = {8008, 8012, 8013, 8022, 9090, 9091}
KNATIVE_OWN_VARIABLES = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"}


def pod_of(service: dict[str, Any]) -> dict[str, Any]:
    """The pod that KServe makes of a predictor: what is not KServe's own belongs to the pod."""
    predictor = service["spec"]["predictor"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": service["metadata"],
        "spec": {name: value for name, value in predictor.items() if name not in OWN_FIELDS},
    }


def misspell_a_field(service: dict[str, Any]) -> None:
    service["spec"]["predictor"]["minReplica"] = service["spec"]["predictor"].pop("minReplicas")


def misspell_a_probe(service: dict[str, Any]) -> None:
    container = service["spec"]["predictor"]["containers"][0]
    container["readinesProbe"] = container.pop("readinessProbe")


def say_a_port_in_words(service: dict[str, Any]) -> None:
    service["spec"]["predictor"]["containers"][0]["ports"][0]["containerPort"] = "eight thousand"


BREAKS = [misspell_a_field, misspell_a_probe, say_a_port_in_words]


def broken(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    service = copy.deepcopy(SERVICE)
    change(service)
    return service


@pytest.fixture(scope="module")
def definition() -> Schema:
    """KServe's own schema of an InferenceService, where its file is at hand or can be downloaded."""
    path = os.environ.get("GLIMPSE_KSERVE_CRD")
    try:
        path = path or pooch.retrieve(
            DEFINITION,
            known_hash=f"sha256:{DEFINITION_SHA256}",
            fname=f"inferenceservices-{KSERVE}.yaml",
            path=Path(pooch.os_cache("glimpse")) / "kserve",
            downloader=pooch.HTTPDownloader(timeout=20),
        )
    except OSError as error:  # a wrong checksum is none, and fails
        pytest.skip(
            f"{DEFINITION} could not be downloaded ({type(error).__name__}); "
            "GLIMPSE_KSERVE_CRD may name a copy"
        )
    return read_schema(Path(path), "v1beta1")


def test_it_is_what_kserve_takes(definition: Schema) -> None:
    assert complaints(definition, SERVICE) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (misspell_a_field, "minReplica"),
        (misspell_a_probe, "readinesProbe"),
        (say_a_port_in_words, "eight thousand"),
        (lambda service: service["spec"]["predictor"].update(scaleMetric="requests"), "requests"),
        (lambda service: service["spec"]["predictor"].update(containerConcurrency="64"), "64"),
        (lambda service: service.update(specs={}), "specs"),
    ],
)
def test_what_kserve_does_not_take_is_found(
    definition: Schema, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    (complaint,) = complaints(definition, broken(change))
    assert said in complaint


@pytest.mark.parametrize("version", VERSIONS)
def test_its_pod_is_what_kubernetes_takes(version: str) -> None:
    kubernetes_validate.validate(pod_of(SERVICE), version, strict=True)


@pytest.mark.parametrize("change", BREAKS)
def test_a_pod_that_kubernetes_does_not_take_is_found(change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod_of(broken(change)), VERSIONS[-1], strict=True)


def test_its_pod_is_what_knative_takes() -> None:
    assert pod_of(SERVICE)["spec"].keys() <= KNATIVE_POD
    assert PREDICTOR["automountServiceAccountToken"] is False
    assert all(volume.keys() == {"name", "emptyDir"} for volume in PREDICTOR["volumes"])
    (port,) = CONTAINER["ports"]
    assert port["name"] == "http1"
    assert port["containerPort"] not in KNATIVE_OWN_PORTS
    assert {entry["name"] for entry in CONTAINER["env"]}.isdisjoint(KNATIVE_OWN_VARIABLES)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert CONTAINER[probe]["httpGet"]["port"] in (port["containerPort"], port["name"])


def test_it_scales_by_requests_in_flight_and_refuses_none_before_knative_lets_them_wait() -> None:
    assert PREDICTOR["scaleMetric"] == "concurrency"
    assert 0 < PREDICTOR["minReplicas"] < PREDICTOR["maxReplicas"]
    assert PREDICTOR["scaleTarget"] <= PREDICTOR["containerConcurrency"]
    workers = int(CONTAINER["resources"]["limits"]["cpu"])  # one for each core
    settings = Settings()
    assert settings.max_queue == 0  # that is 20 for each worker, beyond full batches
    assert PREDICTOR["containerConcurrency"] <= workers * (settings.max_batch + 20)


def test_the_container_is_bounded_asked_and_stopped_as_in_the_deployment() -> None:
    pod = OBJECTS["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for name in ("image", "resources", "volumeMounts"):
        assert CONTAINER[name] == container[name]
    assert PREDICTOR["volumes"] == pod["volumes"]
    assert PREDICTOR["enableServiceLinks"] is pod["enableServiceLinks"]
    assert CONTAINER["securityContext"] == {**pod["securityContext"], **container["securityContext"]}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        expected = {**container[name], "httpGet": {**container[name]["httpGet"], "port": 8000}}
        assert CONTAINER[name] == expected


def test_the_service_is_set_as_kserve_and_knative_need() -> None:
    variables = {entry["name"]: entry["value"] for entry in CONTAINER["env"]}
    assert variables.pop("PROTOCOL") == "v2"
    settings = Settings(**{name.removeprefix("GLIMPSE_").lower(): value for name, value in variables.items()})
    assert {name.removeprefix("GLIMPSE_").lower() for name in variables} <= Settings.model_fields.keys()
    assert {port["containerPort"] for port in CONTAINER["ports"]} == {settings.port}
    assert PREDICTOR["timeout"] > settings.drain_s + settings.grace_s
    annotations = SERVICE["metadata"]["annotations"]
    assert annotations["prometheus.kserve.io/port"] == str(settings.port)


def test_the_service_answers_what_kserve_asks() -> None:
    name = SERVICE["metadata"]["name"]
    assert name == load_contract(MODEL_PATH).name
    predictor = OnnxPredictor(MODEL_PATH, "cpu")
    app = create_app(engine_in_process(predictor), Settings(), BarGenerator(), fake_digits())
    scene = {"name": "scene", "shape": [1, 1, 100, 100], "datatype": "UINT8", "data": [0] * 10_000}
    with TestClient(app) as client:
        for path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{name}/ready", f"/v2/models/{name}"):
            assert client.get(path).status_code == 200, path
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert client.get(CONTAINER[probe]["httpGet"]["path"]).status_code == 200, probe
        metrics = SERVICE["metadata"]["annotations"]["prometheus.kserve.io/path"]
        assert client.get(metrics).status_code == 200
        answer = client.post(f"/v2/models/{name}/infer", json={"inputs": [scene]})
    assert answer.status_code == 200
    assert answer.json()["model_name"] == name
    assert "probabilities" in {output["name"] for output in answer.json()["outputs"]}


A_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "port": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "list": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"a": {"type": "integer"}}},
                },
            },
        }
    },
}


@pytest.mark.parametrize(
    ("spec", "at"),
    [
        ({"port": 1, "labels": {"x": "y"}, "anything": {"z": [1]}, "list": [{"a": 1}]}, None),
        ({"port": "http"}, None),
        ({"port": 1.5}, "spec.port"),
        ({"ports": 1}, "spec"),
        ({"labels": {"x": 1}}, "spec.labels.x"),
        ({"list": [{"a": 1}, {"b": 1}]}, "spec.list.1"),
    ],
)
def test_a_definition_is_read_as_kubernetes_reads_it(spec: dict[str, Any], at: str | None) -> None:
    said = complaints(A_SCHEMA, {"metadata": {"name": "x"}, "spec": spec})
    assert [text.partition(":")[0] for text in said] == ([] if at is None else [at])


def test_a_file_that_defines_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("kind: Pod\n", encoding="utf-8")
    with pytest.raises(ValueError, match="expected a CustomResourceDefinition, got Pod"):
        read_schema(other, "v1beta1")
    other.write_text("kind: CustomResourceDefinition\nspec: {versions: []}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="expected the version v1beta1 among"):
        read_schema(other, "v1beta1")
