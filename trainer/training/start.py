"""Start a run from the weights of a finished run or of an exported file.

In an exported file each normalisation is folded into the layer before it. Here it is unfolded, with the mean
and the variance that the layer's outputs have on scenes. So the model answers as the file does, and learns
like a model that still has its statistics.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from models.contract import file_sha256, sidecar_path
from trainer.training.checkpoint import CHECKPOINT_NAME, averaged_weights, load_checkpoint

_PREFIX = "model."
_FOLDED = "_bias"
"""The exporter's suffix for a bias that holds a folded normalisation."""


def load_start(model: nn.Module, path: Path, scenes: Tensor) -> None:
    """Give a model the weights of a file.

    Args:
        model: of the architecture that the file is of; changed in place.
        path: an .onnx file, a run's folder or its checkpoint.
        scenes: `[n, 1, 100, 100]`, for the statistics that an .onnx file lacks.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another architecture.
    """
    if path.suffix != ".onnx":
        _load(model, averaged_weights(load_checkpoint(path)), path)
        return
    found = {
        tensor.name.removeprefix(_PREFIX): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(path).graph.initializer
    }
    weights = {name: found.get(name, value) for name, value in model.state_dict().items()}
    folded: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            before, _, index = name.rpartition(".")
            layer = f"{before}.{int(index) - 1}.weight"
            if layer + _FOLDED not in found:
                raise ValueError(f"{path}: expected a model with a bias folded into {layer}, found none")
            folded[name] = module
            weights[f"{name}.weight"] = torch.ones_like(module.weight)
            weights[f"{name}.bias"] = found[layer + _FOLDED]
            weights[f"{name}.running_mean"] = torch.zeros_like(module.weight)
            weights[f"{name}.running_var"] = torch.ones_like(module.weight) - module.eps
    _load(model, weights, path)
    _unfold(model, folded, scenes)


def describe_start(path: Path) -> dict[str, str]:
    """What a run's files say of its start: the file's name and SHA-256, and what its sidecar calls it."""
    file = path / CHECKPOINT_NAME if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"start: expected an .onnx file or a run's folder, got {path}")
    sidecar = sidecar_path(file)
    named = {}
    if file.suffix == ".onnx" and sidecar.is_file():
        about = json.loads(sidecar.read_text(encoding="utf-8"))
        named = {"model": f"{about['name']} {about['version']}", "commit": about["provenance"]["commit"]}
    return {"file": file.name, "sha256": file_sha256(file), **named}


def _load(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:  # torch names the layers
        raise ValueError(f"{path}: expected weights of the model as it is today ({error})") from error


@torch.no_grad()
def _unfold(model: nn.Module, folded: dict[str, nn.Module], scenes: Tensor) -> None:
    """Give each normalisation the statistics of its inputs, and a scale and a shift that undo them."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:  # noqa: ARG001
            seen[name] = inputs[0].movedim(1, 0).flatten(1)

        return hook

    hooks = [module.register_forward_pre_hook(keep(name)) for name, module in folded.items()]
    trained = model.training
    model.eval()(scenes)
    model.train(trained)
    for hook in hooks:
        hook.remove()
    for name, module in folded.items():
        assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        assert module.running_mean is not None
        assert module.running_var is not None
        mean, variance = seen[name].mean(1), seen[name].var(1)
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)
        module.weight.copy_(torch.sqrt(variance + module.eps))
        module.bias.add_(mean)
