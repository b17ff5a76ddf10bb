from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.bulk import command
from service.inference.engine import engine_in_process
from service.monitoring.logs import configure_logs
from service.settings import Settings
from tests.service.fakes import BarGenerator, BlobPredictor, centroid_graph, fake_digits, write_model


@pytest.fixture(autouse=True)
def no_settings_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("GLIMPSE_") and name != "GLIMPSE_MNIST_DIR":
            monkeypatch.delenv(name)


@pytest.fixture
def predictor() -> BlobPredictor:
    return BlobPredictor()


@pytest.fixture
def generator() -> BarGenerator:
    return BarGenerator()


@pytest.fixture
def client(predictor: BlobPredictor, generator: BarGenerator) -> Iterator[TestClient]:
    settings = Settings(max_body_bytes=200_000, max_pixels=1_000_000)
    # The client raises what the app lets through, so that a would-be 500 fails the test that meets it.
    with TestClient(
        create_app(
            engine_in_process(predictor, max_pixels=settings.max_pixels), settings, generator, fake_digits()
        )
    ) as client:
        yield client


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "centroid.onnx", centroid_graph())


@pytest.fixture
def run(model_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the bulk command in this process: its exit code, and what it said on stdout and stderr."""

    def run(*arguments: object, model: Path = model_path) -> tuple[int, str, str]:
        code = command.main([*map(str, arguments), "--model", str(model), "--provider", "cpu"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def restored_logs() -> Iterator[None]:
    """What `configure_logs` changes in this process is as before afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("service")
    before = root.handlers, root.level, ours.level
    yield
    root.handlers, root.level, ours.level = before[0], before[1], before[2]
    logging.captureWarnings(False)


@pytest.fixture
def lines(restored_logs: None) -> io.StringIO:
    stream = io.StringIO()
    configure_logs("json", stream)
    return stream
