"""The sidecar contract: what a model file promises, and the check that it keeps the promise.

`trainer` writes it beside the ONNX file, `service` refuses to start on a file that differs from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from models.task import DIGITS, Task

MODEL_PATH = Path(__file__).resolve().parent / "glimpse.onnx"
SCENE_SIDE_PX = DIGITS.side_px
GLIMPSE_SIDE_PX = 28
CLASSES = DIGITS.classes


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


class CommonProvenance(_Strict):
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


class Provenance(CommonProvenance):
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
Tensors = tuple[tuple[TensorContract, ...], tuple[TensorContract, ...]]
"""The inputs and the outputs of a graph."""


class Contract(Sidecar):
    """The content of the model's sidecar. `metrics` maps a scene preset to its figures on test digits.

    The box is centred on the attention. Each of its sides is `box_width_per_sigma` sigmas and, at both ends,
    `box_edge_per_side` times the longer of the two more. `trainer.foreground.check` writes `check`, figures
    from labels alone, where the model's foreground was learnt.
    """

    side_px: int = SCENE_SIDE_PX
    channels: Literal[1, 3] = 1
    presence_known: bool = True
    localised: bool = True
    box_width_per_sigma: float
    box_edge_per_side: float = 0.0
    check: dict[str, float] | None = None
    parameters: int
    mflops_per_scene: float
    metrics: dict[str, dict[str, float]]
    provenance: Provenance

    @property
    def task(self) -> Task:
        """What the model names and sees."""
        return Task(
            classes=self.classes,
            side_px=self.side_px,
            channels=self.channels,
            box_edge_per_side=self.box_edge_per_side,
            presence_known=self.presence_known,
            localised=self.localised,
        )


def inputs_of(task: Task) -> tuple[TensorContract, ...]:
    """The inputs of a model's graph."""
    colour = task.channels > 1
    return (
        TensorContract(
            name="scene",
            dtype="uint8",
            shape=("batch", task.channels, task.side_px, task.side_px),
            unit="intensity, 0 to 255",
            meaning="pictures as they are: red, green, blue"
            if colour
            else "grey pictures as they are: ink brighter or darker than its ground",
        ),
    )


def outputs_of(task: Task) -> tuple[TensorContract, ...]:
    """The outputs of a model's graph, in the order of `trainer.model.Prediction`."""
    digits = task.classes == DIGITS.classes
    thing = "digit" if digits else "object"
    return (
        TensorContract(
            name="probabilities",
            dtype="float32",
            shape=("batch", len(task.classes)),
            unit="probability",
            meaning="softmax over the classes, in their order",
        ),
        TensorContract(
            name="box",
            dtype="float32",
            shape=("batch", 4),
            unit="scene px",
            meaning=f"x, y of the top-left corner, width, height of the {thing}'s box",
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
            shape=("batch", task.side_px, task.side_px),
            unit="0 to 1, peak 1",
            meaning="the Gaussian attention at every pixel's centre",
        ),
        TensorContract(
            name="glimpse",
            dtype="float32",
            shape=(
                "batch",
                *([task.channels] if task.channels > 1 else []),
                GLIMPSE_SIDE_PX,
                GLIMPSE_SIDE_PX,
            ),
            unit="intensity, 0 to 1",
            meaning="what the classifier saw",
        ),
        TensorContract(
            name="digit_present" if digits else "present",
            dtype="float32",
            shape=("batch",),
            unit="probability",
            meaning=f"that the scene shows a{'n' * (not digits)} {thing} at all, where half of the scenes do",
        ),
    )


INPUTS = inputs_of(DIGITS)
OUTPUTS = outputs_of(DIGITS)


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

    def spoken(contract: Contract) -> Tensors:
        return inputs_of(contract.task), outputs_of(contract.task)

    return load_sidecar(model_path, Contract, spoken)


def load_sidecar(
    model_path: Path,
    form: type[AnySidecar],
    spoken: Callable[[AnySidecar], Tensors],
) -> AnySidecar:
    """Read the sidecar of a model file and check the file against it.

    Args:
        model_path: the ONNX file.
        form: what its sidecar must hold.
        spoken: the graph's inputs and outputs that this version of the software expects of such a sidecar.

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
    try:
        inputs, outputs = spoken(contract)
    except ValidationError as error:
        raise ContractError(f"{sidecar} is of no task that is known: {error}") from error
    for kind, promised, expected in (
        ("inputs", contract.inputs, inputs),
        ("outputs", contract.outputs, outputs),
    ):
        if _signature(promised) != _signature(expected):
            raise ContractError(
                f"{sidecar}: expected {kind} {_signature(expected)}, got {_signature(promised)}"
            )
    return contract


def _signature(tensors: tuple[TensorContract, ...]) -> list[tuple[str, str, tuple[int | str, ...]]]:
    return [(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]
