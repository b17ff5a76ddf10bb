"""The generator that the repository ships: small, exact, and its digits are what they were asked to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from models.digits_contract import DIGITS_PATH, LATENT_SIZE, load_digits_contract
from scenes.digits import make_digits
from scenes.draw import draw
from scenes.presets import PRESETS
from scenes.styles import style_latents
from trainer.evaluation.evaluate import load_predict, make_pictures

Level = onnxruntime.GraphOptimizationLevel
COUNT = 500
CLASSES = np.arange(COUNT) % 10
LATENTS = style_latents(np.arange(COUNT), LATENT_SIZE)


def write(
    classes: npt.NDArray[np.int64],
    latents: npt.NDArray[np.float32],
    *,
    path: Path = DIGITS_PATH,
    batch: int = COUNT,
    threads: int = 1,
    level: onnxruntime.GraphOptimizationLevel = Level.ORT_ENABLE_ALL,
) -> npt.NDArray[np.uint8]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate(
        [
            session.run(["picture"], {"digit": classes[i : i + batch], "latent": latents[i : i + batch]})[0]
            for i in range(0, len(classes), batch)
        ]
    )


@pytest.fixture(scope="module")
def digits() -> npt.NDArray[np.uint8]:
    return write(CLASSES, LATENTS)


def test_the_file_is_small_and_the_one_that_its_sidecar_describes() -> None:
    contract = load_digits_contract()
    assert contract.file == DIGITS_PATH.name
    assert DIGITS_PATH.stat().st_size <= 1_500_000
    assert LATENT_SIZE <= 32


def test_digits_are_bright_strokes_on_a_dark_ground(digits: npt.NDArray[np.uint8]) -> None:
    assert digits.shape == (COUNT, 28, 28)
    assert digits.dtype == np.uint8
    assert digits.reshape(COUNT, -1).max(axis=1).min() > 200
    border = np.concatenate([digits[:, 0], digits[:, -1], digits[:, :, 0], digits[:, :, -1]], axis=1)
    assert border.mean() < 1
    assert 15 < digits.mean() < 60


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_a_digit_is_the_same_in_any_batch(digits: npt.NDArray[np.uint8], batch: int) -> None:
    np.testing.assert_array_equal(write(CLASSES[:128], LATENTS[:128], batch=batch), digits[:128])


@pytest.mark.parametrize("level", [Level.ORT_DISABLE_ALL, Level.ORT_ENABLE_BASIC, Level.ORT_ENABLE_EXTENDED])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_digit_is_the_same_on_any_number_of_threads_and_with_any_kernels(
    digits: npt.NDArray[np.uint8], threads: int, level: onnxruntime.GraphOptimizationLevel
) -> None:
    np.testing.assert_array_equal(write(CLASSES, LATENTS, threads=threads, level=level), digits)


def test_the_scenes_model_which_knows_real_digits_alone_reads_them_as_asked(
    digits: npt.NDArray[np.uint8],
) -> None:
    parameters = draw(PRESETS["clean"], np.arange(COUNT), make_digits(digits, CLASSES))
    parameters = parameters._replace(digit_index=np.arange(COUNT))
    answer = load_predict(DIGITS_PATH.with_name("glimpse.onnx"))(
        make_pictures(parameters, make_digits(digits, CLASSES))
    )
    assert np.mean(answer.probabilities.argmax(axis=1) == CLASSES) >= 0.96
