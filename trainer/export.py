"""Export a run to `models/glimpse.onnx` with its sidecar, and compare the file with torch."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from models.contract import (
    Contract,
    Provenance,
    file_sha256,
    inputs_of,
    outputs_of,
    write_contract,
)
from models.files import atomic_write
from scenes.digits import Digits
from scenes.draw import draw
from scenes.presets import find_preset
from trainer.attention import BOX_WIDTH_PER_SIGMA
from trainer.data.digits import source_of
from trainer.errors import ParityError
from trainer.evaluation.evaluate import Predict, make_pictures, onnx_predict, open_session, torch_predict
from trainer.evaluation.flops import WHOLE, count_flops
from trainer.model import GlimpseModel, Prediction
from trainer.training.checkpoint import load_checkpoint, load_trained_model

MODEL_VERSION = "0.9.0"
PARITY_SCENES = 1000
PARITY_BATCHES = (1, 2, 7, 64)
PROBABILITY_TOLERANCE = 1e-4
BOX_TOLERANCE_PX = 0.05


class Parity(NamedTuple):
    """The largest differences found between onnxruntime and torch."""

    probability: float
    box_px: float


class _Graph(nn.Module):
    """The model as a graph of its `predict`."""

    def __init__(self, model: GlimpseModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, scene: Tensor) -> Prediction:
        return self.model.predict(scene)


def export(run: Path, out: Path, digits: Digits) -> Parity:
    """Export a run's averaged weights to `out` and write the sidecar beside it.

    The file is written only if it agrees with torch on 1,000 scenes of `digits`.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: the run is of another method, or is unfinished and so not calibrated.
        ParityError: onnxruntime differs from torch by more than 1e-4 in a probability or 0.05 px in a box.
    """
    model, state = load_trained_model(run), load_checkpoint(run)
    steps, made = state["about"]["recipe"]["steps"], state["step"]
    if made != steps:
        raise ValueError(
            f"{run}: expected a finished run of {steps:,} steps, got one that stands at step {made:,}; "
            "train goes on with it"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as temporary:
        _write_graph(model, temporary)
        pictures = make_pictures(draw(find_preset("article"), np.arange(PARITY_SCENES), digits), digits)
        exported = onnx_predict(open_session(temporary, threads=1))
        parity = check_parity(exported, torch_predict(model), pictures)
    write_contract(_describe(model, state, out), out)
    return parity


def check_parity(exported: Predict, trained: Predict, pictures: npt.NDArray[np.uint8]) -> Parity:
    """Compare two models on the same pictures at batches of 1, 2, 7 and 64.

    Raises:
        ParityError: they differ by more than is allowed.
    """
    worst = differences(exported, trained, pictures)
    if not (worst.probability <= PROBABILITY_TOLERANCE and worst.box_px <= BOX_TOLERANCE_PX):
        raise ParityError(
            f"expected at most {PROBABILITY_TOLERANCE} in probabilities and {BOX_TOLERANCE_PX} px in boxes "
            f"between onnxruntime and torch, got {worst.probability:.2g} and {worst.box_px:.2g} px"
        )
    return worst


def differences(exported: Predict, trained: Predict, pictures: npt.NDArray[np.uint8]) -> Parity:
    """The largest differences of two models on the same pictures at batches of 1, 2, 7 and 64."""
    worst = Parity(0.0, 0.0)
    for batch in PARITY_BATCHES:
        for start in range(0, len(pictures), batch):
            ours, theirs = (model(pictures[start : start + batch]) for model in (exported, trained))
            probability, box_px, present = (np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))
            # np.maximum, since `max` would ignore NaN.
            worst = Parity(
                float(np.maximum(worst.probability, np.maximum(probability, present))),
                float(np.maximum(worst.box_px, box_px)),
            )
    return worst


def count_mflops(model: GlimpseModel) -> float:
    """Millions of floating-point operations for one scene, two for each multiply-add."""
    task = model.task
    scene = torch.zeros(1, task.channels, task.side_px, task.side_px, dtype=torch.uint8)
    return count_flops(lambda: copy.deepcopy(model).eval().predict(scene))[WHOLE] / 1e6


def _write_graph(model: GlimpseModel, path: Path) -> None:
    # A batch of 2: the exporter would treat a batch of 1 as a constant.
    task = model.task
    example = torch.zeros(2, task.channels, task.side_px, task.side_px, dtype=torch.uint8)
    # The exporter warns of operators of torchvision, which nothing here uses, and of its own deprecations.
    logging.getLogger("torch.onnx._internal.exporter").setLevel(logging.ERROR)
    with warnings.catch_warnings(category=FutureWarning, action="ignore"):
        program = torch.onnx.export(
            _Graph(model).eval(),
            (example,),
            input_names=[tensor.name for tensor in inputs_of(task)],
            output_names=[tensor.name for tensor in outputs_of(task)],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    proto = program.model_proto
    _strip_paths(proto)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _strip_paths(proto: onnx.ModelProto) -> None:
    """Remove the local paths that the exporter writes into metadata and documentation strings."""
    for part in (proto, proto.graph):
        part.doc_string = ""
        del part.metadata_props[:]
    graph = proto.graph
    for items in (graph.node, graph.initializer, graph.input, graph.output, graph.value_info):
        for item in items:
            item.doc_string = ""
            del item.metadata_props[:]


def _describe(model: GlimpseModel, state: dict[str, Any], out: Path) -> Contract:
    about = state["about"]
    recipe = about["recipe"]
    task = model.task
    return Contract(
        name="glimpse",
        version=MODEL_VERSION,
        file=out.name,
        sha256=file_sha256(out),
        classes=task.classes,
        side_px=task.side_px,
        channels=task.channels,
        presence_known=task.presence_known,
        localised=task.localised,
        inputs=inputs_of(task),
        outputs=outputs_of(task),
        box_width_per_sigma=round(BOX_WIDTH_PER_SIGMA, 6),
        box_edge_per_side=task.box_edge_per_side,
        parameters=sum(p.numel() for p in model.parameters()),
        mflops_per_scene=round(count_mflops(model), 2),
        metrics={},
        provenance=Provenance(
            commit=about["commit"],
            command=about["command"],
            preset=about["preset"],
            seed=about["seed"],
            data=f"{source_of(about)}; scenes {json.dumps(recipe['mixture'])}",
            scenes_seen=state["step"] * recipe["batch_size"],
            start=about.get("start"),
            seconds=round(state["seconds"], 1),
            hardware=about["hardware"],
            versions=about["versions"],
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )
