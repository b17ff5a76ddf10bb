"""The writer as an ONNX graph, built node by node, so that the file stores its weights in 8 bits.

The arithmetic is that of `trainer.handwriting.exact`: matrix products and convolutions of whole numbers kept
in float32, which every kernel sums without an error, in whatever order. Weights are stored as int8 with the
power of two that they count; onnxruntime multiplies the two once, when it loads the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.digits_contract import INPUTS, LATENT_SIZE, OUTPUTS
from scenes.digits import CLASS_COUNT
from trainer.handwriting.exact import COUNTS, ExactConv2d, ExactLinear, exact_bias, exact_weight, weight_steps
from trainer.handwriting.model import (
    CONTRAST,
    FLOW_STEPS,
    INK_COUNTS,
    NOISE_SHARE,
    POSITION_COUNTS,
    Decoder,
    Flow,
    Gaussians,
    Writer,
)

_OPSET = 20
_IR_VERSION = 10
_LARGEST_SUM = 2**24


def build_graph(writer: Writer) -> onnx.ModelProto:
    """The graph of a writer.

    Raises:
        ValueError: a sum could grow beyond what float32 holds exactly.
    """
    graph = _Graph()
    noise = graph.whole(graph.times("latent", POSITION_COUNTS))
    noise = graph.whole(graph.times(noise, NOISE_SHARE))
    prior = writer.prior
    codes = _flow(graph, prior, noise) if isinstance(prior, Flow) else _gaussians(graph, prior, noise)
    ink = _decode(graph, writer.decoder, codes)
    stretched = graph.times(graph.whole(graph.times(ink, INK_COUNTS / COUNTS)), CONTRAST)
    shifted = graph.node("Add", [stretched, graph.number((1 - CONTRAST) / 2 * INK_COUNTS)])
    greys = graph.whole(graph.times(graph.clip(shifted, 0.0, INK_COUNTS), 255 / INK_COUNTS))
    graph.node("Cast", [greys], to=TensorProto.UINT8, output="picture")
    return graph.model()


def _flow(graph: _Graph, flow: Flow, positions: str) -> str:
    """From noise to codes, both counted in 1/1024."""
    for step in range(FLOW_STEPS):
        positions = _flow_step(graph, flow, positions, step)
    return positions


def _gaussians(graph: _Graph, gaussians: Gaussians, noise: str) -> str:
    noise = _counted(graph, noise)
    last = graph.constant("last", np.array([2]))
    root = graph.node("Gather", [graph.constant("root", gaussians.root.numpy()), "digit"])
    spread = graph.node("MatMul", [root, graph.node("Unsqueeze", [noise, last])])
    spread = graph.times(graph.node("Squeeze", [spread, last]), POSITION_COUNTS / COUNTS)
    mean = graph.constant("mean", gaussians.mean.numpy() * POSITION_COUNTS)
    return graph.whole(graph.node("Add", [spread, graph.node("Gather", [mean, "digit"])]))


def _flow_step(graph: _Graph, flow: Flow, positions: str, step: int) -> str:
    """One step of Euler's method; positions are counted in 1/1024."""
    x = graph.given_class("flow.first", flow.first, _counted(graph, positions), beyond=step)
    x = graph.linear("flow.second", flow.second, graph.activate(x))
    x = graph.linear("flow.third", flow.third, graph.activate(x))
    velocity = graph.linear("flow.velocity", flow.velocity, graph.activate(x))
    way = graph.times(velocity, POSITION_COUNTS / COUNTS / FLOW_STEPS)
    return graph.whole(graph.node("Add", [positions, way]))


def _counted(graph: _Graph, positions: str) -> str:
    return graph.clip(graph.whole(graph.times(positions, COUNTS / POSITION_COUNTS)), -128.0, 127.0)


def _decode(graph: _Graph, decoder: Decoder, positions: str) -> str:
    x = graph.activate(graph.given_class("mix", decoder.mix, _counted(graph, positions)))
    x = graph.activate(graph.linear("spread", decoder.spread, x))
    planes = decoder.shape.in_channels
    x = graph.node("Reshape", [x, graph.constant(f"{planes} planes", np.array([-1, planes, 7, 7]))])
    x = graph.activate(graph.convolution("shape", decoder.shape, x))
    x = graph.node("DepthToSpace", [x], blocksize=2, mode="CRD")
    x = graph.activate(graph.convolution("strokes", decoder.strokes, x))
    x = graph.activate(graph.convolution("edges", decoder.edges, x))
    x = graph.node("DepthToSpace", [x], blocksize=2, mode="CRD")
    x = graph.convolution("ink", decoder.ink, x)
    return graph.node("Squeeze", [x, graph.constant("plane", np.array([1]))])


class _Graph:
    """Nodes and constants as they are added; constants of one name are kept once."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node of one output; returns the output's name."""
        output = output or f"{kind.lower()} {len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self._constants.setdefault(name, numpy_helper.from_array(values, name))
        return name

    def number(self, value: float) -> str:
        return self.constant(f"{value!r}", np.array(value, np.float32))

    def times(self, x: str, factor: float) -> str:
        return self.node("Mul", [x, self.number(factor)])

    def whole(self, x: str) -> str:
        return self.node("Round", [x])

    def clip(self, x: str, lowest: float, highest: float) -> str:
        return self.node("Clip", [x, self.number(lowest), self.number(highest)])

    def activate(self, x: str) -> str:
        return self.whole(self.clip(x, 0.0, 255.0))

    def linear(self, name: str, layer: ExactLinear, x: str) -> str:
        weight = self._weight(name, *_parts(layer))
        bias = self.constant(f"{name}.bias", exact_bias(layer).numpy())
        return self.node("Gemm", [x, weight, bias], transB=1)

    def given_class(self, name: str, layer: ExactLinear, x: str, beyond: int | None = None) -> str:
        """A layer with the class, and optionally the step, as inputs: their weights are added to the bias."""
        weights, steps = _parts(layer)
        weight = self._weight(name, weights[:, :LATENT_SIZE], steps)
        known = (weights * steps)[:, LATENT_SIZE:].T * COUNTS  # [classes and marks, outputs]
        bias, suffix = exact_bias(layer).numpy(), ""
        if beyond is not None:
            bias, suffix = bias + known[CLASS_COUNT + beyond], f" {beyond}"
        of_class = self.constant(f"{name}.class", known[:CLASS_COUNT])
        seen = self.node("Gemm", [x, weight, self.constant(f"{name}.bias{suffix}", bias)], transB=1)
        return self.node("Add", [seen, self.node("Gather", [of_class, "digit"])])

    def convolution(self, name: str, layer: ExactConv2d, x: str) -> str:
        weight = self._weight(name, *_parts(layer))
        bias = self.constant(f"{name}.bias", exact_bias(layer).numpy())
        return self.node("Conv", [x, weight, bias], pads=[1, 1, 1, 1])

    def _weight(self, name: str, weights: npt.NDArray[np.float32], steps: npt.NDArray[np.float32]) -> str:
        output = f"{name}.weight"
        if all(output not in node.output for node in self._nodes):
            stored = self.constant(f"{name}.weight8", weights.astype(np.int8))
            numbers = self.node("Cast", [stored], to=TensorProto.FLOAT)
            self.node("Mul", [numbers, self.constant(f"{name}.step", steps)], output=output)
        return output

    def model(self) -> onnx.ModelProto:
        kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
        inputs, outputs = (
            [helper.make_tensor_value_info(t.name, kinds[t.dtype], list(t.shape)) for t in tensors]
            for tensors in (INPUTS, OUTPUTS)
        )
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, "digits", inputs, outputs, constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model


def _parts(layer: ExactLinear | ExactConv2d) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A layer's weights as whole numbers and the powers of two that they count."""
    steps = weight_steps(layer.weight)
    weights = exact_weight(layer) / steps
    bias = exact_bias(layer)
    unit = steps.flatten().clamp(max=COUNTS / 1024)
    largest = (weights * steps).abs().flatten(1).sum(dim=1) * 255 + bias.abs()
    if (largest / unit).max() > _LARGEST_SUM:
        raise ValueError(f"weights: expected sums of at most {_LARGEST_SUM} units, got {largest / unit}")
    return weights.numpy(), steps.numpy()
