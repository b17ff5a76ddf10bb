"""Random numbers as a pure function of seed, stream and counter.

A generator with a hidden state gives other numbers on every library and device. A counter-based one
(Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") hashes a counter instead, so that a
seed means the same scene on NumPy, torch on the CPU and torch on CUDA, in any order and any batch. The
hash is Chris Wellons' `lowbias32` (nullprogram.com/blog/2018/07/31), two rounds of xor-shift and multiply.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from statistics import NormalDist
from typing import Any

import array_api_compat
import numpy as np

from scenes.backend import Array, look_up, namespace, span

_NORMAL_BITS = 16


class Stream(IntEnum):
    """The purpose of a number. Each has its own stream, so a given parameter does not shift others."""

    DIGIT = 1
    SIZE = 2
    CENTRE = 3
    CLUTTER_COUNT = 4
    CLUTTER_DIGIT = 5
    CLUTTER_SIZE = 6
    CLUTTER_CENTRE = 7
    CLUTTER_ANGLE = 8
    CROP_DIGIT = 9
    CROP_SOURCE = 10
    CROP_PLACE = 11
    NOISE_SIGMA = 12
    DIGIT_NOISE_SHARE = 13
    DIGIT_NOISE = 14
    NOISE = 15
    STYLE = 16
    CLUTTER_STYLE = 17
    LATENT = 18
    STROKE = 19
    PAPER = 20
    PAPER_TEXTURE = 21
    PAPER_GRAIN = 22
    NON_DIGIT = 23


def random_bits(seeds: Array, stream: int, count: int) -> Array:
    """32 random bits for each counter: int32 `[n, count]` for int64 seeds `[n]`."""
    xp = namespace(seeds)
    low = xp.astype(seeds & 0x7FFFFFFF, xp.int32)
    high = xp.astype((seeds >> 31) & 0x7FFFFFFF, xp.int32)
    key = _mix(_mix(low + int(stream) * 0x3C6EF372 % 0x7FFFFFFF) ^ high)
    # 0x9E3779B9 as a signed number: the odd constant that spreads successive counters over all bits.
    counters = span(seeds, count, "int32") * -1640531527
    return _mix(key[:, None] + counters[None, :])


def uniform(seeds: Array, stream: int, count: int) -> Array:
    """Uniform numbers in [0, 1), exact multiples of 2⁻²⁴: float32 `[n, count]`."""
    xp = namespace(seeds)
    return xp.astype((random_bits(seeds, stream, count) >> 8) & 0xFFFFFF, xp.float32) * 2.0**-24


def normal_halves(seeds: Array, stream: int, count: int) -> tuple[Array, Array]:
    """Two blocks of standard normal numbers by a 16-bit inverse distribution function: float32 `[n, count]`.

    Each hash gives a number to either block. The largest magnitude is 4.3.
    """
    bits = random_bits(seeds, stream, count)
    table = _normal_table(namespace(seeds), array_api_compat.device(seeds))
    high = bits >> _NORMAL_BITS
    high += 2 ** (_NORMAL_BITS - 1)  # makes an index of a signed number without a mask
    bits &= 2**_NORMAL_BITS - 1
    return look_up(table, high), look_up(table, bits)


def _mix(x: Array) -> Array:
    """The hash of int32 numbers, in place."""
    _fold(x, 16)
    x *= 0x7FEB352D
    _fold(x, 15)
    x *= -2073254261  # 0x846CA68B as a signed number
    _fold(x, 16)
    return x


def _fold(x: Array, shift: int) -> None:
    """Do x ^= x >> shift as for unsigned numbers: both libraries shift arithmetically, hence the mask."""
    shifted = x >> shift
    shifted &= 2 ** (32 - shift) - 1
    x ^= shifted


@cache
def _normal_table(xp: Any, device: Any) -> Array:
    """The normal quantiles at the middles of 2¹⁶ equal steps of probability; once for each device."""
    steps = 2**_NORMAL_BITS
    upper = [NormalDist().inv_cdf((i + 0.5) / steps) for i in range(steps // 2, steps)]
    half = np.array(upper, dtype=np.float32)
    return xp.asarray(np.concatenate([-half[::-1], half]), device=device)
