"""The manifests against Kubernetes's own schemas, and against what the service needs."""

from __future__ import annotations

import kubernetes_validate
import pytest

from service.settings import Settings
from tests.docker.manifests import OBJECTS, VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", OBJECTS)
def test_each_object_is_what_kubernetes_takes(kind, version):
    kubernetes_validate.validate(OBJECTS[kind], version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found():
    wrong = {**OBJECTS["Service"], "specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_everything_that_is_asked_for_is_there_and_names_the_same_pods():
    assert set(OBJECTS) == {
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }
    labels = {"app.kubernetes.io/name": "glimpse"}
    deployment = OBJECTS["Deployment"]["spec"]
    assert deployment["template"]["metadata"]["labels"] == labels
    assert deployment["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert OBJECTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "glimpse"


def test_the_pod_is_asked_and_stopped_as_the_service_needs():
    pod = OBJECTS["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False  # the Service's name would set GLIMPSE_PORT
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    set_here = {entry["name"].removeprefix("GLIMPSE_").lower(): entry["value"] for entry in container["env"]}
    assert set_here.keys() <= Settings.model_fields.keys()
    settings = Settings(**set_here)
    assert pod["terminationGracePeriodSeconds"] > settings.drain_s + settings.grace_s
    probe = container["readinessProbe"]
    assert settings.drain_s > probe["periodSeconds"] * probe["failureThreshold"]
    ports = {port["containerPort"] for port in container["ports"]}
    assert ports == {Settings.model_fields["port"].default}
    assert OBJECTS["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"] in ports
