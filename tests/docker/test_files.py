"""The files for Compose and the images, read without an engine."""

from __future__ import annotations

import re
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.docker.compose import GPU_FILE, MAIN_FILE, MNIST_FILE, PROFILES, ROOT, Project, find_composes

DOCKER = ROOT / "docker"
# Settings that Compose does not pass on: inside, the address is fixed, and paths are others.
NOT_PASSED = {"host", "port", "model_path", "digits_path", "api_keys_file"}
HARDENED = ("read_only", "cap_drop", "security_opt", "mem_limit", "pids_limit")
COMMANDS = find_composes()


def some_of(things: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return list(chain.from_iterable(combinations(things, count) for count in range(len(things) + 1)))


@pytest.fixture(scope="module")
def main() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(MAIN_FILE.read_text(encoding="utf-8"))
    return found


@pytest.fixture(params=COMMANDS or [()], ids=" ".join)
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if not request.param:
        pytest.skip("neither `docker compose` nor `docker-compose` is at hand to read the files")
    found: tuple[str, ...] = request.param
    return found


@pytest.mark.parametrize("profiles", some_of(PROFILES), ids=str)
@pytest.mark.parametrize(
    "more", some_of((GPU_FILE, MNIST_FILE)), ids=lambda more: str([f.name for f in more])
)
def test_compose_reads_every_combination(command, more, profiles, tmp_path):
    project = Project(
        "any", (MAIN_FILE, *more), {"GLIMPSE_MNIST_DIR": str(tmp_path)}, command=command, profiles=profiles
    )
    assert project.compose("config", "--quiet").stderr == ""
    assert "glimpse" in project.config()["services"]


def test_the_gpu_is_reserved_and_required(command):
    plain, gpu = (
        Project("any", files, command=command).config()["services"]
        for files in ((MAIN_FILE,), (MAIN_FILE, GPU_FILE))
    )
    assert "deploy" not in plain["glimpse"]
    (device,) = gpu["glimpse"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert gpu["glimpse"]["environment"]["GLIMPSE_PROVIDER"] == "cuda"
    assert str(gpu["glimpse"]["build"]["args"]["CUDA"]) == "1"
    assert gpu["glimpse"]["build"]["dockerfile"] == plain["glimpse"]["build"]["dockerfile"]
    assert gpu["glimpse"]["image"] != plain["glimpse"]["image"], "one image would take the other's place"
    assert gpu["trainer"]["deploy"] == gpu["glimpse"]["deploy"]
    assert gpu["trainer"]["environment"]["PRESET"] == "cuda"
    assert {name: gpu["glimpse"][name] for name in HARDENED} == {
        name: plain["glimpse"][name] for name in HARDENED
    }


def test_every_container_is_bounded(main):
    for name, service in main["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert 0 < service["pids_limit"] <= 4096, name
        assert service["restart"], name
        for port in service.get("ports", ()):
            assert port.startswith(("127.0.0.1:", "${GLIMPSE_PUBLISH:-127.0.0.1:")), (
                "for this machine alone, unless asked"
            )


def test_old_and_new_compose_need_no_version_and_no_name(main):
    """The one would want a version, the other warns of it; the older does not know a project's name."""
    for path in (MAIN_FILE, GPU_FILE, MNIST_FILE):
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {key for key in read if not key.startswith("x-")} <= {"services", "volumes"}
    used = {
        volume.partition(":")[0] for service in main["services"].values() for volume in service["volumes"]
    }
    assert {name for name in used if not name.startswith(".")} == set(main["volumes"])


def test_settings_are_passed_on_or_known_not_to_be(main):
    passed = {name.removeprefix("GLIMPSE_").lower() for name in main["services"]["glimpse"]["environment"]}
    assert passed >= {"host"}
    assert passed - {"host"} == set(Settings.model_fields) - NOT_PASSED
    assert main["services"]["glimpse"]["ports"][0].endswith(f":{Settings.model_fields['port'].default}")


def test_there_is_time_to_stop(main):
    stop_grace = re.fullmatch(
        r"\$\{GLIMPSE_STOP_GRACE:-(\d+)s\}", main["services"]["glimpse"]["stop_grace_period"]
    )
    assert stop_grace is not None
    workers_s = 5
    assert (
        int(stop_grace[1])
        > sum(Settings.model_fields[name].default for name in ("drain_s", "grace_s")) + workers_s
    )


def test_the_image_alone_is_checked_as_compose_does(main):
    image = (DOCKER / "service.Dockerfile").read_text(encoding="utf-8")
    check = main["services"]["glimpse"]["healthcheck"]
    options = " ".join(
        f"--{name.replace('_', '-')}={check[name]}"
        for name in ("interval", "timeout", "start_period", "retries")
    )
    words = ", ".join(f'"{word}"' for word in check["test"][1:])
    assert check["test"][0] == "CMD"
    assert f"HEALTHCHECK {options} CMD [{words}]" in image


@pytest.mark.parametrize("name", ["service.Dockerfile", "trainer.Dockerfile"])
def test_images_are_plain(name):
    text = (DOCKER / name).read_text(encoding="utf-8")
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:3.11-slim-bookworm"}
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    assert "STOPSIGNAL SIGTERM" in text
    assert "--require-hashes" in text
    assert "ORT_DISABLE_TELEMETRY=1" in text
    assert re.findall(r"^(?:ENTRYPOINT|CMD) (?!\[)", text, re.MULTILINE) == []
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path
    # What is copied first changes least.
    first_code = text.index("COPY models")
    assert text.rindex("-m pip --python") < first_code


def test_both_images_install_what_is_locked():
    service, trainer = (
        (DOCKER / f"{name}.Dockerfile").read_text(encoding="utf-8") for name in ("service", "trainer")
    )
    for text, names in ((service, ("service", "gpu")), (trainer, ("trainer",))):
        for name in names:
            assert f"requirements/{name}.txt" in text
            assert Path(ROOT, "requirements", f"{name}.txt").is_file()
    assert "torch" not in service.replace("No torch", "")
