"""Fixtures that every test may ask for: MNIST's digits, or a skip that says how to get them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import pytest

from scenes.digits import Digits
from scenes.mnist import FOLDER_VARIABLE, DigitsUnavailableError, Split, load_digits


def digits_are_promised() -> bool:
    """True in CI where a folder of digits is named: to skip there would hide a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true"} and bool(os.environ.get(FOLDER_VARIABLE))


@functools.cache
def load_once(split: Split) -> Digits | DigitsUnavailableError:
    """The digits, or why there are none: a download that failed is not tried again by every test."""
    try:
        return load_digits(split)
    except DigitsUnavailableError as error:
        return error


def digits_or_skip(split: Split) -> Digits:
    """The digits of a split; where they are neither at hand nor to be had, skip with the reason."""
    found = load_once(split)
    if isinstance(found, Digits):
        return found
    if digits_are_promised():
        raise found
    pytest.skip(str(found))


@pytest.fixture(scope="session")
def digits() -> Callable[[Split], Digits]:
    """`digits("test")`: the digits of a split, read once for all tests."""
    return digits_or_skip


@pytest.fixture(scope="session")
def train_digits() -> Digits:
    """The training split: for tests that train."""
    return digits_or_skip("train")


@pytest.fixture(scope="session")
def validation_digits() -> Digits:
    """The held-out training digits: for tests that choose or compare."""
    return digits_or_skip("validation")


@pytest.fixture(scope="session")
def test_digits() -> Digits:
    """MNIST's own test split: for tests that measure."""
    return digits_or_skip("test")
