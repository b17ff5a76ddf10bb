"""The sidecar contract of the digit generator, in the form and with the checks of `models.contract`."""

from __future__ import annotations

from pathlib import Path

from models.contract import GLIMPSE_SIDE_PX, CommonProvenance, Sidecar, TensorContract, load_sidecar

DIGITS_PATH = Path(__file__).resolve().parent / "digits.onnx"
LATENT_SIZE = 24


class DigitsProvenance(CommonProvenance):
    """Where the generator's weights come from."""

    digits_seen: int


class DigitsContract(Sidecar):
    """The content of the generator's sidecar."""

    parameters: int
    mflops_per_digit: float
    provenance: DigitsProvenance


INPUTS = (
    TensorContract(
        name="digit", dtype="int64", shape=("batch",), unit="class", meaning="the digit to write, 0 to 9"
    ),
    TensorContract(
        name="latent",
        dtype="float32",
        shape=("batch", LATENT_SIZE),
        unit="standard normal",
        meaning="the handwriting, as `scenes.styles.style_latents` makes it of a style",
    ),
)
OUTPUTS = (
    TensorContract(
        name="picture",
        dtype="uint8",
        shape=("batch", GLIMPSE_SIDE_PX, GLIMPSE_SIDE_PX),
        unit="intensity, 0 to 255",
        meaning="handwritten digits, bright ink on a dark ground",
    ),
)


def load_digits_contract(model_path: Path = DIGITS_PATH) -> DigitsContract:
    """Read the generator's sidecar and check the file against it; ContractError as `load_sidecar`."""
    return load_sidecar(model_path, DigitsContract, lambda _: (INPUTS, OUTPUTS))
