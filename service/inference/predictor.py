"""The interface of a model, and its implementation on onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from models.contract import SCENE_SIDE_PX, ContractError, Sidecar, TensorContract, load_contract
from service.inference.cores import usable_cores
from service.inference.errors import PredictorError
from service.inference.providers import CUDA, Providers, choose_providers
from service.settings import ProviderChoice

MAX_BATCH = 64
"""Most scenes in one model call; more are split into several calls."""

Floats = npt.NDArray[np.float32]


class Prediction(NamedTuple):
    """A model's outputs for n scenes; fields are named as in the contract, lengths are in scene px."""

    probabilities: Floats  # [n, 10]
    box: Floats  # [n, 4]: x, y, width, height
    attention: Floats  # [n, 4]: centre x, centre y, sigma x, sigma y
    glimpse: Floats  # [n, 28, 28], intensities in [0, 1]
    digit_present: Floats  # [n], the probability that there is a digit


class Named(Protocol):
    """A model's name, version and provider."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def version(self) -> str:
        """The model's version."""

    @property
    def provider(self) -> str:
        """The execution provider that actually runs the model, by onnxruntime's name."""


class Predictor(Named, Protocol):
    """A model that is loaded and ready. Its methods may be called from several threads at once."""

    @property
    def box_edge_per_side(self) -> float:
        """How far the model's box extends beyond the Gaussian's box at each end, in its longer sides."""

    def predict(self, scenes: npt.NDArray[np.uint8]) -> Prediction:
        """Predict scenes, uint8 `[n, 1, 100, 100]` with n of at least 1; PredictorError if it cannot."""

    def run(self, scenes: npt.NDArray[np.uint8], names: Sequence[str]) -> dict[str, Floats]:
        """The contract's outputs of these names for the same scenes, `[n, ...]` each; errors as `predict`."""

    def check(self) -> None:
        """Return if the model can answer now; else raise PredictorError."""


class OnnxPredictor:
    """A model file on onnxruntime, checked against its sidecar and warm."""

    def __init__(
        self,
        model_path: Path,
        choice: ProviderChoice = "auto",
        threads: int = 0,
        batches: Sequence[int] = (1, MAX_BATCH),
    ) -> None:
        """Load a model, check it and run it once for each size of batch that will come.

        Args:
            model_path: the ONNX file; its sidecar is beside it.
            choice: where it runs.
            threads: CPU threads of one call; 0 is one for each core that this process may use.
            batches: batch sizes to warm up; on a GPU every new size has to be tuned.

        Raises:
            ContractError: the file, its sidecar and this software do not fit together.
            ProviderError: the required provider is not available.
            PredictorError: the model does not run.
        """
        self._contract = load_contract(model_path)
        self._providers = choose_providers(choice)
        self._session = open_session(model_path, self._providers, threads or usable_cores())
        check_graph(self._session, self._contract, model_path)
        self._providers.check_in_use(self._session.get_providers())
        for batch in batches:
            self.predict(np.zeros((batch, 1, SCENE_SIDE_PX, SCENE_SIDE_PX), np.uint8))

    @property
    def name(self) -> str:
        """The model's name, from its sidecar."""
        return self._contract.name

    @property
    def version(self) -> str:
        """The model's version, from its sidecar."""
        return self._contract.version

    @property
    def box_edge_per_side(self) -> float:
        """From its sidecar; see `Predictor`."""
        return self._contract.box_edge_per_side

    @property
    def provider(self) -> str:
        """The provider of highest priority that the session uses."""
        return str(self._session.get_providers()[0])

    @property
    def provider_note(self) -> str:
        """Why the provider is not a GPU although one was looked for; else empty."""
        if self._providers.note or self.provider == self._providers.names[0]:
            return self._providers.note
        return f"{self._providers.names[0]} was asked for, but onnxruntime could not start it"

    def predict(self, scenes: npt.NDArray[np.uint8]) -> Prediction:
        """Run the model on uint8 `[n, 1, 100, 100]`, in chunks of at most `MAX_BATCH`.

        Raises:
            PredictorError: onnxruntime failed, or the outputs are not finite numbers.
        """
        chunks = [self._run(scenes[i : i + MAX_BATCH]) for i in range(0, len(scenes), MAX_BATCH)]
        if len(chunks) == 1:
            return chunks[0]
        return Prediction(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))

    def run(self, scenes: npt.NDArray[np.uint8], names: Sequence[str]) -> dict[str, Floats]:
        """The outputs of these names for uint8 `[n, 1, 100, 100]`, in chunks and with errors as `predict`."""
        chunks = [self._outputs(scenes[i : i + MAX_BATCH], names) for i in range(0, len(scenes), MAX_BATCH)]
        outputs = chunks[0] if len(chunks) == 1 else map(np.concatenate, zip(*chunks, strict=True))
        return dict(zip(names, outputs, strict=True))

    def check(self) -> None:
        """Run one dark scene, which detects a lost device or a broken session."""
        self._providers.check_in_use(self._session.get_providers())
        self.predict(np.zeros((1, 1, SCENE_SIDE_PX, SCENE_SIDE_PX), np.uint8))

    def _run(self, scenes: npt.NDArray[np.uint8]) -> Prediction:
        return Prediction(*self._outputs(scenes, Prediction._fields))

    def _outputs(self, scenes: npt.NDArray[np.uint8], names: Sequence[str]) -> list[Floats]:
        (scene,) = self._contract.inputs
        try:
            outputs: list[Floats] = self._session.run(list(names), {scene.name: scenes})
        except Exception as error:
            # onnxruntime's exceptions share no base class but Exception.
            raise PredictorError(f"the model did not run on {self.provider}: {error}") from error
        for name, values in zip(names, outputs, strict=True):
            if not np.isfinite(values).all():
                raise PredictorError(f"the model gave values of {name} that are not finite")
            if name == "attention" and (values[:, 2:] <= 0).any():
                raise PredictorError("the model gave an attention whose sigma is not positive")
        return outputs


def open_session(model_path: Path, providers: Providers, threads: int) -> ort.InferenceSession:
    """A session on a model file; ContractError where onnxruntime cannot load it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take cores from decoding, and use them while the service is idle.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if providers.required and providers.names[0] == CUDA:
        # Otherwise nodes that CUDA cannot run would silently run on the CPU.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        return ort.InferenceSession(model_path, options, providers=providers.with_options())
    except Exception as error:
        # onnxruntime's exceptions share no base class but Exception.
        raise ContractError(f"{model_path} is not a model that onnxruntime can load: {error}") from error


def check_graph(session: ort.InferenceSession, contract: Sidecar, model_path: Path) -> None:
    """Compare the graph's inputs and outputs with the sidecar."""
    for kind, promised, found in (
        ("inputs", contract.inputs, session.get_inputs()),
        ("outputs", contract.outputs, session.get_outputs()),
    ):
        expected = [_signature(tensor) for tensor in promised]
        got = [
            f"{node.name} {node.type} {[d if isinstance(d, int) else '*' for d in node.shape]}"
            for node in found
        ]
        if expected != got:
            raise ContractError(f"{model_path}: expected {kind} {expected}, the graph has {got}")


def _signature(tensor: TensorContract) -> str:
    element = {"float32": "float", "uint8": "uint8", "int64": "int64"}[tensor.dtype]
    shape = [size if isinstance(size, int) else "*" for size in tensor.shape]
    return f"{tensor.name} tensor({element}) {shape}"
