"""MNIST's digits for every test, or a skip that says how to get them; which process runs which test."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable

import pytest
from xdist.remote import Producer

from scenes.digits import Digits
from scenes.mnist import FOLDER_VARIABLE, DigitsUnavailableError, Split, load_digits
from tests.support.scheduling import ByFile, place

# Several processes test at once: each one's threads would spin while they wait for a core that another has.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Far longer than any asynchronous test takes, on a busy machine too.
_MOST_S = 120


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: many tests wait for a server or a timer."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores + 1, 8)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Share the tests out by files."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin."""
    items.sort(key=lambda item: place(item.nodeid))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the service does."""
    return "asyncio"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """An asynchronous test that hangs fails."""
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = within(_MOST_S, pyfuncitem.obj)


def within(seconds: float, test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The test, with so much time and no more."""

    @functools.wraps(test)
    async def bounded(**arguments: object) -> None:
        async with asyncio.timeout(seconds):
            await test(**arguments)

    return bounded


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
