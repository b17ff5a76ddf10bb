"""The digit generator on onnxruntime: tiny, so it always runs on the CPU with one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.digits_contract import LATENT_SIZE, load_digits_contract
from scenes.styles import style_latents
from service.inference.errors import PredictorError
from service.inference.predictor import check_graph, open_session
from service.inference.providers import CPU, Providers


class OnnxGenerator:
    """A generator file, checked against its sidecar and warm."""

    def __init__(self, model_path: Path) -> None:
        """Load the generator of a file whose sidecar is beside it.

        Raises:
            ContractError: the file, its sidecar and this software do not fit together.
            PredictorError: the generator does not run.
        """
        contract = load_digits_contract(model_path)
        self._session = open_session(model_path, Providers((CPU,), required=True), threads=1)
        check_graph(self._session, contract, model_path)
        self.generate(np.arange(10), np.arange(10))

    def generate(
        self, classes: npt.NDArray[np.int64], styles: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Digits of classes `[n]` in styles `[n]`, bright on dark: uint8 `[n, 28, 28]`.

        Raises:
            PredictorError: onnxruntime failed.
        """
        try:
            (pictures,) = self._session.run(
                ["picture"], {"digit": classes, "latent": style_latents(styles, LATENT_SIZE)}
            )
        except Exception as error:
            # onnxruntime's exceptions share no base class but Exception.
            raise PredictorError(f"the digit generator did not run: {error}") from error
        found: npt.NDArray[np.uint8] = pictures
        return found
