"""Export a run to `models/digits.onnx` with its sidecar, and compare the file with torch."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from models.contract import CLASSES, file_sha256, write_contract
from models.digits_contract import INPUTS, LATENT_SIZE, OUTPUTS, DigitsContract, DigitsProvenance
from models.files import atomic_write
from scenes.styles import style_latents
from trainer.errors import ParityError
from trainer.evaluation.flops import WHOLE, count_flops
from trainer.handwriting.graph import build_graph
from trainer.handwriting.model import Flow, Gaussians, Writer
from trainer.handwriting.train import LAST_STAGE

VERSION = "0.1.0"
_PARITY_DIGITS = 1000


def export(run: Path, out: Path) -> None:
    """Write the file and its sidecar of a run.

    The file is written only if every pixel of 1,000 digits equals torch's in double precision.

    Raises:
        FileNotFoundError: the run has no checkpoint of its last stage.
        ParityError: a pixel differs.
    """
    writer, state = load_writer(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as temporary:
        onnx.save(build_graph(writer), temporary)
        _check_parity(writer, temporary)
    write_contract(_describe(writer, state, out), out)


def load_writer(run: Path) -> tuple[Writer, dict[str, Any]]:
    """The writer of a finished run, and its checkpoint.

    Raises:
        FileNotFoundError: there is no such run, or its last stage is not finished.
    """
    path = run / f"{LAST_STAGE}.pt"
    if not path.is_file():
        raise FileNotFoundError(f"run: expected a finished run, but {run} has no {path.name}")
    state: dict[str, Any] = torch.load(path, weights_only=True)
    writer = Writer(Flow() if state["recipe"]["flow_steps"] else Gaussians())
    writer.load_state_dict(state["writer"])
    return writer.eval().requires_grad_(False), state


def _check_parity(writer: Writer, path: Path) -> None:
    """Compare 1,000 digits: float32 and float64 agree only if no sum was rounded."""
    classes = np.arange(_PARITY_DIGITS) % len(CLASSES)
    latents = style_latents(np.arange(_PARITY_DIGITS), LATENT_SIZE)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (written,) = session.run(["picture"], {"digit": classes, "latent": latents})
    expected = _double(writer)(torch.from_numpy(classes), torch.from_numpy(latents).double()).numpy()
    if different := int(np.count_nonzero(written != expected)):
        raise ParityError(
            f"expected onnxruntime and torch to write the same digits, got {different} pixels that differ"
        )


def _double(writer: Writer) -> Writer:
    return copy.deepcopy(writer).double()


def _describe(writer: Writer, state: dict[str, Any], out: Path) -> DigitsContract:
    about, recipe = state["about"], state["recipe"]
    flops = count_flops(lambda: writer(torch.tensor([3]), torch.zeros(1, LATENT_SIZE)))
    return DigitsContract(
        name="digits",
        version=VERSION,
        file=out.name,
        sha256=file_sha256(out),
        classes=CLASSES,
        inputs=INPUTS,
        outputs=OUTPUTS,
        parameters=sum(weight.numel() for weight in writer.parameters()),
        mflops_per_digit=round(flops[WHOLE] / 1e6, 2),
        provenance=DigitsProvenance(
            commit=about["commit"],
            command=about["command"],
            preset=about["preset"],
            seed=about["seed"],
            data="MNIST training digits 0 to 59,999 (CC BY-SA 3.0)",
            digits_seen=recipe["code_steps"] * recipe["batch_size"],
            seconds=round(state["seconds"], 1),
            hardware=about["hardware"],
            versions=about["versions"],
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )
