"""What a device does at best: the floors that training and answers are measured against."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn import functional

CPU = torch.device("cpu")


def peak_flops(device: torch.device = CPU, precision: torch.dtype = torch.float32) -> float:
    """What a large product of matrices reaches, in floating-point operations a second, two a multiply-add.

    Of float32 in TF32 where a GPU has it, since convolutions and onnxruntime use it there.
    """
    side = 8192 if device.type == "cuda" else 1536
    a, b = torch.randn(2, side, side, device=device).to(precision).unbind()
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        return 2.0 * side**3 / _best(lambda: a @ b, device)
    finally:
        torch.set_float32_matmul_precision(before)


def peak_convolution(precision: torch.dtype = torch.float32) -> float:
    """The same of a large 3×3 convolution, on the CPU."""
    channels, places = 128, 56
    pictures = torch.randn(8, channels, places, places).to(precision, memory_format=torch.channels_last)
    kernel = torch.randn(channels, channels, 3, 3).to(precision, memory_format=torch.channels_last)
    flops = 2.0 * 8 * places**2 * 9 * channels**2
    return flops / _best(lambda: functional.conv2d(pictures, kernel, padding=1), CPU)


def peak_bytes(device: torch.device) -> float:
    """What copying a large array reaches, in bytes a second read and written."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**24, device=device)
    target = torch.empty_like(source)
    return 2.0 * source.numel() * 4 / _best(lambda: target.copy_(source), device)


def wait(device: torch.device) -> None:
    """Until the device has done all that it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()


@torch.inference_mode()
def _best(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of 30 calls after 5: a peak is what is reached when nothing else disturbs."""
    took = []
    for _ in range(35):
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        took.append(time.perf_counter() - start)
    return min(took[5:])
