from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.ray.nodes import Nodes, started
from tests.ray.served import StartNodes


@pytest.fixture(scope="module")
def start_nodes() -> Iterator[StartNodes]:
    """Starts Ray clusters as `started` does; they end with the module."""
    with ExitStack() as stack:

        def start(
            *cpus: int, gpus: int = 0, dashboard: bool = False, env: Mapping[str, str] | None = None
        ) -> Nodes:
            return stack.enter_context(started(*cpus, gpus=gpus, dashboard=dashboard, env=env))

        yield start
