"""The trainer's container: trains the smoke preset and leaves a model, which the service takes."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import httpx2
import numpy as np
import onnxruntime
import pytest
from PIL import Image

from models.contract import load_contract
from scenes.digits import Digits
from scenes.mnist import FOLDER_VARIABLE
from tests.docker.compose import BUILD_S, MNIST_FILE, Project, health, is_ready, run
from tests.support.processes import TIMEOUT_S, until

TRAINING_S = 900


@pytest.fixture(scope="module")
def trained(project: Project, train_digits: Digits) -> Project:
    """The project after a training, as `PRESET=smoke docker-compose --profile train up trainer` does it."""
    folder = os.environ.get(FOLDER_VARIABLE)
    files = (*project.files, MNIST_FILE) if folder else project.files
    named = {FOLDER_VARIABLE: os.path.realpath(folder)} if folder else {}
    training = Project(
        project.name, files, {**project.settings, **named, "PRESET": "smoke", "OMP_NUM_THREADS": "1"}
    )
    training.compose("build", "trainer", timeout_s=BUILD_S)
    begin = time.monotonic()
    training.compose("up", "--detach", "trainer")
    ended = run("docker", "wait", training.identity("trainer"), timeout_s=TRAINING_S)
    assert ended.stdout.strip() == "0", training.log("trainer")
    print(f"trained and exported in {time.monotonic() - begin:.0f} s")
    return training


def test_it_says_what_it_has_done(trained):
    log = trained.log("trainer")
    assert "trained into /runs/smoke-seed0" in log
    assert "wrote /models/glimpse.onnx; onnxruntime against torch" in log
    assert "telemetry" not in log


def test_it_is_bounded_as_the_service_is(trained):
    about = trained.inspect("trainer")
    host = about["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["Privileged"]) == (True, ["ALL"], False)
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert (host["Memory"], host["PidsLimit"]) == (8 * 2**30, 4096)
    assert about["Config"]["User"] == "10001:10001"
    if os.environ.get(FOLDER_VARIABLE):
        (digits,) = (mount for mount in about["Mounts"] if mount["Destination"] == "/mnist-folder")
        assert digits["RW"] is False


def test_it_has_a_compiler_for_compiled_steps(trained):
    image = trained.inspect("trainer")["Config"]["Image"]
    said = run("docker", "run", "--rm", image, "sh", "-c", "g++ --version && id -u").stdout
    assert "Free Software Foundation" in said
    assert said.strip().endswith("10001")


def test_a_finished_run_is_exported_again_not_trained_again(trained):
    begin = time.monotonic()
    trained.compose("up", "--detach", "trainer")
    until(lambda: trained.inspect("trainer")["State"]["Status"] == "exited", TRAINING_S)
    log = trained.log("trainer")
    assert log.count("wrote /models/glimpse.onnx") == 2
    print(f"exported again in {time.monotonic() - begin:.0f} s")


def test_the_service_takes_the_trained_model(trained, project, address, tmp_path: Path):
    project.compose("up", "--detach", "--no-build", "glimpse")
    project.compose("restart", "glimpse")
    until(lambda: is_ready(address) and health(project) == "healthy")
    assert "/tmp/from-volume-models/glimpse.onnx" in project.log("glimpse")
    for name in ("glimpse.onnx", "glimpse.json"):
        run("docker", "cp", f"{project.identity('glimpse')}:/models/{name}", str(tmp_path / name))
    contract = load_contract(tmp_path / "glimpse.onnx")
    assert contract.provenance.preset == "smoke"
    with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
        picture = client.get("/synthesize", params={"seed": 5}).content
        answer = client.post("/predict", content=picture, headers={"content-type": "image/png"}).json()
    scene = np.asarray(Image.open(io.BytesIO(picture)).convert("L"))[None, None]
    session = onnxruntime.InferenceSession(tmp_path / "glimpse.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(["probabilities"], {"scene": scene})
    assert answer["inverted"] is False
    assert answer["probabilities"] == pytest.approx(expected[0].tolist(), abs=1e-5)
