"""What a device does at best: the floor that training and answers are measured against."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def peak_flops(device: torch.device, precision: torch.dtype = torch.float32) -> float:
    """What a large product of matrices reaches, in floating-point operations a second.

    Of float32 in TF32 where the GPU has it, since convolutions and onnxruntime use it there.
    """
    side = 8192 if device.type == "cuda" else 1024
    a, b = torch.randn(2, side, side, device=device, dtype=precision)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return 2.0 * side**3 / _best(lambda: a @ b, device)
    finally:
        torch.set_float32_matmul_precision(before)


def peak_bytes(device: torch.device) -> float:
    """What copying a large array reaches, in bytes a second read and written."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**24, device=device)
    target = torch.empty_like(source)
    return 2.0 * source.numel() * 4 / _best(lambda: target.copy_(source), device)


def wait(device: torch.device) -> None:
    """Until the device has done all that it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def _best(call: Callable[[], object], device: torch.device) -> float:
    took = []
    for _ in range(8):
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        took.append(time.perf_counter() - start)
    return min(took)
