"""Where a model runs: onnxruntime's execution providers, chosen and verified."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort

from service.settings import ProviderChoice

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"


class ProviderError(RuntimeError):
    """The provider that the settings require is not available; the message says why."""


@dataclass(frozen=True)
class Providers:
    """Providers to ask for, first choice first; whether the first is required; why there is no GPU."""

    names: tuple[str, ...]
    required: bool
    note: str = ""

    def with_options(self) -> list[tuple[str, dict[str, Any]]]:
        """The providers as onnxruntime takes them."""
        # An exhaustive search would cost hundreds of milliseconds at every new batch size.
        options: dict[str, dict[str, Any]] = {CUDA: {"cudnn_conv_algo_search": "HEURISTIC"}}
        return [(name, options.get(name, {})) for name in self.names]

    def check_in_use(self, in_use: list[str]) -> None:
        """Compare with `session.get_providers()`, the only call that tells the truth.

        Raises:
            ProviderError: the first choice is required and is not in use.
        """
        if self.required and in_use[0] != self.names[0]:
            raise ProviderError(
                f"expected {self.names[0]}, but onnxruntime could not start it and uses {in_use[0]}: "
                "CUDA 13 and cuDNN 9 must be installed (extra `gpu`) and a GPU must be visible"
            )


def choose_providers(choice: ProviderChoice) -> Providers:
    """The providers to ask for.

    onnxruntime lists CUDA as available on machines without a GPU, and falls back with mere error lines. So
    this function first probes the driver's library, and asks for CUDA only if it loads.

    Raises:
        ProviderError: `choice` is cuda and CUDA cannot work here.
    """
    if choice == "cpu":
        return Providers((CPU,), required=True)
    missing = _why_no_cuda()
    if missing and choice == "cuda":
        raise ProviderError(f"GLIMPSE_PROVIDER is cuda, but {missing}")
    if missing:
        return Providers((CPU,), required=False, note=missing)
    # It prints failures to stdout, which is for the address alone.
    with contextlib.redirect_stdout(sys.stderr):
        ort.preload_dlls()
    return Providers((CUDA,), required=True) if choice == "cuda" else Providers((CUDA, CPU), required=False)


def _why_no_cuda() -> str:
    """One clause that says why CUDA cannot work here; empty if it may."""
    if CUDA not in ort.get_available_providers():
        return "the installed onnxruntime has no CUDA support (onnxruntime-gpu has it)"
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return f"the NVIDIA driver's library does not load ({error})"
    return ""
