"""What a started service with the committed model must answer, in a process or in a container."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx2
import numpy as np
import tritonclient.http as triton
from PIL import Image

from service.schemas import BoxAnswer, PredictionAnswer
from service.v2.tensors import OUTPUT_NAMES
from tests.support.processes import TIMEOUT_S


def assert_generated_scenes_are_read(address: str, provider: str) -> None:
    """Scenes that the service makes are read and framed by it, as well as the model's figures say."""
    right = framed = 0
    with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
        for seed in range(20):
            made = client.get("/synthesize", params={"format": "json", "seed": seed}).json()
            picture = base64.b64decode(made["image"].partition(",")[2])
            response = client.post("/predict", files={"image": ("scene.png", picture, "image/png")})
            answer = PredictionAnswer.model_validate(response.json())
            assert answer.model.provider == provider
            right += answer.label == made["truth"]["label"]
            framed += overlap(answer.bbox, BoxAnswer(**made["truth"]["bbox"])) >= 0.5
    # With 4 % error and 93 % CorLoc, 20 scenes fall under either less than once in 10,000 times.
    assert right >= 15
    assert framed >= 13


def overlap(one: BoxAnswer, other: BoxAnswer) -> float:
    """Intersection over union."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    both = max(width, 0) * max(height, 0)
    return both / (one.width * one.height + other.width * other.height - both)


def assert_both_protocols_say_the_same(address: str) -> None:
    """`/predict` and the Open Inference Protocol, as Triton's client speaks it, on the same scenes."""
    with (
        httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client,
        triton.InferenceServerClient(address.removeprefix("http://")) as client_of_triton,
    ):
        for seed in range(5):
            picture = client.get("/synthesize", params={"seed": seed, "noise": 0.1}).content
            predicted = client.post("/predict", content=picture, headers={"content-type": "image/png"}).json()
            assert not predicted["inverted"]
            scene = np.asarray(Image.open(io.BytesIO(picture)).convert("L"))[None, None]
            given = triton.InferInput("scene", scene.shape, "UINT8").set_data_from_numpy(scene)
            assert_same(client_of_triton.infer("glimpse", [given]), predicted)


def assert_same(inferred: triton.InferResult, predicted: dict[str, Any]) -> None:
    values = {name: inferred.as_numpy(name)[0] for name in OUTPUT_NAMES}
    assert values["probabilities"].tolist() == np.array(predicted["probabilities"], np.float32).tolist()
    assert float(values["digit_present"]) == np.float32(predicted["digit_present"])
    names = ("x", "y", "width", "height")
    x, y, width, height = values["box"].tolist()
    left, top, right, bottom = np.clip([x, y, x + width, y + height], 0, 100)
    np.testing.assert_allclose(
        [predicted["bbox"][name] for name in names], [left, top, right - left, bottom - top], atol=2e-4
    )
    attention = [predicted["attention"][name] for name in ("x", "y", "sigma_x", "sigma_y")]
    np.testing.assert_allclose(attention, values["attention"], rtol=1e-6)
    np.testing.assert_allclose(predicted["attention_map"], values["attention_map"], atol=1e-4)
    np.testing.assert_allclose(predicted["glimpse"], np.clip(values["glimpse"], 0, 1), atol=1e-4)
