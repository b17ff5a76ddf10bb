"""The sidecar contract: what a model file promises, and the check that it keeps the promise.

`trainer` writes it beside the ONNX file, `service` refuses to start on a file that differs from it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

MODEL_PATH = Path(__file__).resolve().parent / "glimpse.onnx"
SCENE_SIDE_PX = 100
GLIMPSE_SIDE_PX = 28
CLASSES = tuple("0123456789")


class ContractError(ValueError):
    """A model file and its sidecar do not belong together, or one of them is not usable."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorContract(_Strict):
    """One input or output of the graph. A dimension that may vary is a name, a fixed one a number."""

    name: str
    dtype: Literal["uint8", "float32", "int64"]
    shape: tuple[int | str, ...]
    unit: str
    meaning: str


class Origin(_Strict):
    """Where weights come from: enough to train them again."""

    commit: str
    command: str
    preset: str
    seed: int
    data: str
    seconds: float
    hardware: str
    versions: dict[str, str]
    finished: str


class Provenance(Origin):
    """Where the model's weights come from; `start` names the model that training went on from, if any."""

    scenes_seen: int
    start: dict[str, str] | None = None


class Sidecar(_Strict):
    """What the sidecar of any model file says."""

    name: str
    version: str
    file: str
    sha256: str
    classes: tuple[str, ...]
    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]


AnySidecar = TypeVar("AnySidecar", bound=Sidecar)


class Contract(Sidecar):
    """The content of the model's sidecar. `metrics` maps a scene preset to its figures on test digits.

    The box is centred on the attention. Each of its sides is `box_width_per_sigma` sigmas and, at both ends,
    `box_edge_per_side` times the longer of the two more.
    """

    box_width_per_sigma: float
    box_edge_per_side: float = 0.0
    parameters: int
    mflops_per_scene: float
    metrics: dict[str, dict[str, float]]
    provenance: Provenance


INPUTS = (
    TensorContract(
        name="scene",
        dtype="uint8",
        shape=("batch", 1, SCENE_SIDE_PX, SCENE_SIDE_PX),
        unit="intensity, 0 to 255",
        meaning="grey pictures as they are: ink brighter or darker than its ground",
    ),
)
OUTPUTS = (
    TensorContract(
        name="probabilities",
        dtype="float32",
        shape=("batch", len(CLASSES)),
        unit="probability",
        meaning="softmax over the classes, in their order",
    ),
    TensorContract(
        name="box",
        dtype="float32",
        shape=("batch", 4),
        unit="scene px",
        meaning="x, y of the top-left corner, width, height of the digit's box",
    ),
    TensorContract(
        name="attention",
        dtype="float32",
        shape=("batch", 4),
        unit="scene px",
        meaning="centre x, centre y, sigma x, sigma y of the Gaussian attention",
    ),
    TensorContract(
        name="attention_map",
        dtype="float32",
        shape=("batch", SCENE_SIDE_PX, SCENE_SIDE_PX),
        unit="0 to 1, peak 1",
        meaning="the Gaussian attention at every pixel's centre",
    ),
    TensorContract(
        name="glimpse",
        dtype="float32",
        shape=("batch", GLIMPSE_SIDE_PX, GLIMPSE_SIDE_PX),
        unit="intensity, 0 to 1",
        meaning="what the classifier saw",
    ),
    TensorContract(
        name="digit_present",
        dtype="float32",
        shape=("batch",),
        unit="probability",
        meaning="that the scene shows a digit at all, where half of the scenes do",
    ),
)


def sidecar_path(model_path: Path) -> Path:
    """The sidecar of `models/glimpse.onnx` is `models/glimpse.json`."""
    return model_path.with_suffix(".json")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in lower-case hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_contract(contract: Sidecar, model_path: Path) -> None:
    """Write the sidecar beside the model file."""
    text = json.dumps(contract.model_dump(mode="json"), indent=2)
    sidecar_path(model_path).write_text(text + "\n", encoding="utf-8")


def load_contract(model_path: Path = MODEL_PATH) -> Contract:
    """Read the sidecar of the model and check the file against it; ContractError as `load_sidecar`."""
    return load_sidecar(model_path, Contract, INPUTS, OUTPUTS)


def load_sidecar(
    model_path: Path,
    form: type[AnySidecar],
    inputs: tuple[TensorContract, ...],
    outputs: tuple[TensorContract, ...],
) -> AnySidecar:
    """Read the sidecar of a model file and check the file against it.

    Args:
        model_path: the ONNX file.
        form: what its sidecar must hold.
        inputs: the graph's inputs that this version of the software speaks.
        outputs: the same for its outputs.

    Raises:
        ContractError: a file is missing, the sidecar is malformed, the model file is not the one that the
            sidecar describes, or its tensors are not the ones that this version of the software speaks.
    """
    sidecar = sidecar_path(model_path)
    for path in (model_path, sidecar):
        if not path.is_file():
            raise ContractError(f"expected a model file and its sidecar, but {path} does not exist")
    try:
        contract = form.model_validate_json(sidecar.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ContractError(f"{sidecar} is not a sidecar contract: {error}") from error
    found = file_sha256(model_path)
    if found != contract.sha256:
        raise ContractError(
            f"{model_path} has SHA-256 {found}, but its sidecar {sidecar} describes {contract.sha256}"
        )
    for kind, promised, spoken in (
        ("inputs", contract.inputs, inputs),
        ("outputs", contract.outputs, outputs),
    ):
        if _signature(promised) != _signature(spoken):
            raise ContractError(
                f"{sidecar}: expected {kind} {_signature(spoken)}, got {_signature(promised)}"
            )
    return contract


def _signature(tensors: tuple[TensorContract, ...]) -> list[tuple[str, str, tuple[int | str, ...]]]:
    return [(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]
