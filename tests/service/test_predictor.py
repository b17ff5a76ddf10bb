from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from models.contract import ContractError, file_sha256, sidecar_path
from service.inference.errors import PredictorError
from service.inference.predictor import MAX_BATCH, OnnxPredictor
from service.inference.providers import CPU, CUDA, ProviderError, Providers, choose_providers
from tests.service.fakes import centroid_graph, write_model


def scenes_with_a_spot(centres):
    scenes = np.zeros((len(centres), 1, 100, 100), np.uint8)
    for scene, (x, y) in zip(scenes, centres, strict=True):
        scene[0, y - 2 : y + 2, x - 3 : x + 3] = 90
    return scenes


@pytest.mark.parametrize("count", [1, 2, 7, MAX_BATCH, 2 * MAX_BATCH + 3])
def test_every_scene_is_answered_in_its_order(model_path, count):
    centres = [(10 + i % 80, 90 - i % 80) for i in range(count)]
    prediction = OnnxPredictor(model_path, "cpu").predict(scenes_with_a_spot(centres))
    assert prediction.probabilities.shape == (count, 10)
    assert prediction.glimpse.shape == (count, 28, 28)
    np.testing.assert_allclose(prediction.attention[:, :2], centres, atol=1e-3)
    np.testing.assert_allclose(prediction.box[:, :2], np.array(centres) - 10, atol=1e-3)


def test_it_tells_its_name_and_where_it_runs(model_path):
    predictor = OnnxPredictor(model_path, "cpu")
    assert (predictor.name, predictor.version, predictor.provider) == ("centroid", "0.0.1", CPU)
    assert predictor.provider_note == ""
    predictor.check()


def test_a_file_that_is_not_the_sidecars_is_refused(tmp_path):
    path = write_model(tmp_path / "model.onnx", centroid_graph())
    path.write_bytes(path.read_bytes() + b"\x00")
    with pytest.raises(ContractError, match="SHA-256"):
        OnnxPredictor(path, "cpu")


def test_a_missing_sidecar_is_refused(tmp_path):
    path = write_model(tmp_path / "model.onnx", centroid_graph())
    sidecar_path(path).unlink()
    with pytest.raises(ContractError, match="does not exist"):
        OnnxPredictor(path, "cpu")


def test_a_graph_that_breaks_its_sidecars_promise_is_refused(tmp_path):
    path = write_model(tmp_path / "model.onnx", centroid_graph(glimpse_side=27))
    with pytest.raises(ContractError, match=r"expected outputs .*28, 28.*the graph has .*27, 27"):
        OnnxPredictor(path, "cpu")


def test_a_graph_with_a_renamed_input_is_refused(tmp_path):
    graph = centroid_graph()
    graph.graph.input[0].name = "picture"
    graph.graph.node[0].input[0] = "picture"
    path = write_model(tmp_path / "model.onnx", graph)
    with pytest.raises(ContractError, match=r"expected inputs .*scene.*picture"):
        OnnxPredictor(path, "cpu")


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = write_model(tmp_path / "model.onnx", centroid_graph())
    path.write_bytes(b"not a model")
    contract = json.loads(sidecar_path(path).read_text())
    contract["sha256"] = file_sha256(path)
    sidecar_path(path).write_text(json.dumps(contract))
    with pytest.raises(ContractError, match="not a model that onnxruntime can load"):
        OnnxPredictor(path, "cpu")


def test_outputs_that_are_not_finite_are_an_error_and_no_answer(tmp_path):
    path = write_model(tmp_path / "model.onnx", centroid_graph(probability=float("nan")))
    with pytest.raises(PredictorError, match="probabilities"):
        OnnxPredictor(path, "cpu")


def test_a_model_that_fails_in_the_run_is_a_predictor_error(model_path):
    predictor = OnnxPredictor(model_path, "cpu")
    with pytest.raises(PredictorError, match="did not run on CPUExecutionProvider"):
        predictor.predict(np.zeros((1, 1, 50, 50), np.uint8))


def test_cuda_without_a_driver_is_refused_in_one_sentence(monkeypatch):
    def fail(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("service.inference.providers.ctypes.CDLL", fail)
    monkeypatch.setattr("service.inference.providers.ort.get_available_providers", lambda: [CUDA, CPU])
    with pytest.raises(ProviderError, match=r"GLIMPSE_PROVIDER is cuda, but .*driver.*does not load"):
        choose_providers("cuda")
    automatic = choose_providers("auto")
    assert automatic.names == (CPU,)
    assert "driver" in automatic.note


def test_a_runtime_without_cuda_is_said(monkeypatch):
    monkeypatch.setattr("service.inference.providers.ort.get_available_providers", lambda: [CPU])
    with pytest.raises(ProviderError, match="onnxruntime has no CUDA support"):
        choose_providers("cuda")
    assert choose_providers("auto").names == (CPU,)


def test_cuda_is_asked_for_where_the_driver_loads(monkeypatch, capsys):
    monkeypatch.setattr("service.inference.providers.ctypes.CDLL", lambda name: object())
    monkeypatch.setattr("service.inference.providers.ort.get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr("service.inference.providers.ort.preload_dlls", lambda: print("noise"))
    assert choose_providers("auto") == Providers((CUDA, CPU), required=False)
    assert choose_providers("cuda") == Providers((CUDA,), required=True)
    assert capsys.readouterr().out == ""


def test_a_silent_fall_back_is_found_out():
    with pytest.raises(ProviderError, match=f"expected {CUDA}.* uses {CPU}"):
        Providers((CUDA, CPU), required=True).check_in_use([CPU])
    Providers((CUDA, CPU), required=True).check_in_use([CUDA, CPU])
    Providers((CUDA, CPU), required=False).check_in_use([CPU])


def test_an_automatic_fall_back_is_noted(model_path, monkeypatch):
    # The driver loads, but there is no GPU: onnxruntime then drops CUDA and says nothing that a program sees.
    monkeypatch.setattr(
        "service.inference.predictor.choose_providers", lambda choice: Providers((CUDA, CPU), required=False)
    )
    monkeypatch.setattr(Providers, "with_options", lambda self: [(CPU, {})])
    predictor = OnnxPredictor(model_path)
    assert predictor.provider == CPU
    assert "could not start" in predictor.provider_note


def test_the_service_does_not_know_torch_or_the_trainer():
    code = (
        "import sys, service.app, service.__main__; "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'trainer')])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
