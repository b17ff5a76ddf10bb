"""The counter-based generator: worked out in plain Python, and with the properties that its names promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from scenes.random import Stream, normal_halves, random_bits, uniform

SEEDS = [0, 1, 5, 2**31 - 1, 2**31, 2**40 + 17, 3 * 2**40, 2**61 + 12345]


def lowbias32(x: int) -> int:
    """Chris Wellons' hash, as on its page, on unsigned 32-bit numbers."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def bits_by_hand(seed: int, stream: int, counter: int) -> int:
    """A seed's low and high 31 bits, the stream and the counter, hashed one after the other."""
    low, high = seed % 2**31, seed // 2**31 % 2**31
    key = lowbias32((low + stream * 0x3C6EF372 % (2**31 - 1)) % 2**32)
    key = lowbias32(key ^ high)
    return lowbias32((key + counter * 0x9E3779B9) % 2**32)


@pytest.mark.parametrize("stream", [Stream.DIGIT, Stream.NOISE, 101])
def test_bits_are_those_worked_out_by_hand(stream: int) -> None:
    found = random_bits(np.array(SEEDS), stream, 1000)
    assert (found.dtype, found.shape) == (np.int32, (8, 1000))
    for row, counter in itertools.product(range(8), (0, 1, 2, 999)):
        assert int(found[row, counter]) % 2**32 == bits_by_hand(SEEDS[row], stream, counter)


@pytest.mark.parametrize("stream", [Stream.DIGIT, Stream.NOISE])
def test_numpy_and_torch_agree_to_the_last_bit(stream: Stream) -> None:
    ours, theirs = np.array(SEEDS), torch.tensor(SEEDS)
    assert np.array_equal(random_bits(ours, stream, 500), random_bits(theirs, stream, 500).numpy())
    assert np.array_equal(uniform(ours, stream, 500), uniform(theirs, stream, 500).numpy())
    for one, other in zip(normal_halves(ours, stream, 500), normal_halves(theirs, stream, 500), strict=True):
        assert one.dtype == np.float32
        assert np.array_equal(one, other.numpy())


def test_uniform_numbers_are_the_upper_24_bits() -> None:
    numbers = uniform(np.array(SEEDS), Stream.SIZE, 50)
    assert numbers.dtype == np.float32
    for row, counter in itertools.product(range(8), range(50)):
        assert numbers[row, counter] == (bits_by_hand(SEEDS[row], Stream.SIZE, counter) >> 8) / 2**24


def test_uniform_numbers_are_uniform() -> None:
    numbers = uniform(np.arange(500), Stream.CENTRE, 400).astype(float).ravel()
    n = numbers.size
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.all(numbers * 2**24 == np.floor(numbers * 2**24))
    # Five standard errors: √(1/12 / n) of the mean, √(1/180 / n) of the variance.
    assert numbers.mean() == pytest.approx(0.5, abs=5 * math.sqrt(1 / 12 / n))
    assert numbers.var() == pytest.approx(1 / 12, abs=5 * math.sqrt(1 / 180 / n))
    counts = np.bincount((numbers * 50).astype(int), minlength=50)
    chi_squared = ((counts - n / 50) ** 2 / (n / 50)).sum()
    assert 49 - 5 * math.sqrt(98) < chi_squared < 49 + 5 * math.sqrt(98)


def test_normal_numbers_are_normal() -> None:
    for half in normal_halves(np.arange(500), Stream.NOISE, 400):
        numbers = half.astype(float).ravel()
        n = numbers.size
        assert numbers.mean() == pytest.approx(0, abs=5 / math.sqrt(n))
        assert numbers.std() == pytest.approx(1, abs=5 / math.sqrt(2 * n))
        assert np.abs(numbers).max() < 4.4
        # Shares of the two tails beyond 1, 2 and 3 σ, from the tables.
        for limit, share in ((1, 0.317311), (2, 0.0455003), (3, 0.0026998)):
            beyond = np.mean(np.abs(numbers) > limit)
            assert beyond == pytest.approx(share, abs=5 * math.sqrt(share / n))


def rows(seeds: list[int], stream: int, count: int = 20_000) -> np.ndarray:
    numbers: np.ndarray = uniform(np.array(seeds), stream, count).astype(float)
    return numbers


def test_streams_seeds_and_halves_have_nothing_to_do_with_each_other() -> None:
    count = 20_000
    by_stream = np.concatenate([rows([7], stream, count) for stream in Stream])
    by_seed = rows([0, 1, 2, 3, 2**31, 2**32, 2**40, 2**40 + 1], Stream.NOISE, count)
    halves = np.concatenate(normal_halves(np.array([7, 8]), Stream.NOISE, count))
    for numbers in (by_stream, by_seed, halves):
        correlation = np.corrcoef(numbers)
        np.fill_diagonal(correlation, 0)
        assert np.abs(correlation).max() < 5 / math.sqrt(count)
    # Successive numbers of a seed, and the same number of successive seeds.
    assert abs(np.corrcoef(by_seed[0, :-1], by_seed[0, 1:])[0, 1]) < 5 / math.sqrt(count)
    across = uniform(np.arange(count), Stream.DIGIT, 1)[:, 0]
    assert abs(np.corrcoef(across[:-1], across[1:])[0, 1]) < 5 / math.sqrt(count)


def test_a_seed_means_the_same_wherever_it_stands_and_however_much_is_asked() -> None:
    alone = uniform(np.array([42]), Stream.CLUTTER_SIZE, 5)
    among = uniform(np.array([1, 2, 42, 3]), Stream.CLUTTER_SIZE, 9)
    assert np.array_equal(alone[0], among[2, :5])


def test_nothing_asked_is_nothing_given() -> None:
    assert uniform(np.arange(3), Stream.CROP_DIGIT, 0).shape == (3, 0)


def test_every_stream_has_a_number_of_its_own() -> None:
    assert len({int(stream) for stream in Stream}) == len(Stream.__members__)
