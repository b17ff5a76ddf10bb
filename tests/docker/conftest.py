"""Containers of this tree's images, where an engine may be used; else a skip that says how to have them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.docker.compose import BUILD_S, MAIN_FILE, Project, why_no_engine
from tests.support.processes import free_port


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip without an engine, or without leave: images take minutes and gigabytes."""
    wanted = os.environ.get("GLIMPSE_DOCKER") or "off"
    if wanted not in {"required", "auto", "off"}:
        pytest.fail(f"GLIMPSE_DOCKER: expected required, auto or off, got {wanted!r}")
    if wanted == "off":
        pytest.skip("builds images of 3 GB in all: GLIMPSE_DOCKER=auto runs it where a Docker engine answers")
    if missing := why_no_engine():
        message = f"GLIMPSE_DOCKER is {wanted}, but {missing}"
        if wanted == "required":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session")
def project(engine: None) -> Iterator[Project]:
    """The service's image, built from this tree; nothing is started yet, and nothing stays in the end."""
    project = Project(
        f"glimpse-test-{os.getpid()}", (MAIN_FILE,), {"GLIMPSE_PUBLISH": f"127.0.0.1:{free_port()}"}
    )
    try:
        project.compose("build", "glimpse", timeout_s=BUILD_S)
        yield project
    finally:
        project.remove()


@pytest.fixture(scope="session")
def address(project: Project) -> str:
    """Where the service of the container answers, once it is up."""
    return f"http://{project.settings['GLIMPSE_PUBLISH']}"
