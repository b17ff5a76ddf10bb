"""schemathesis on the whole OpenAPI document, all checks, in process; `benchmarks.fuzz` is the long run."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

import benchmarks.fuzz_hooks  # noqa: F401 - its import registers it
from service.app import create_app
from service.inference.engine import engine_in_process
from service.settings import Settings
from tests.service.fakes import BarGenerator, BlobPredictor, fake_digits

EXAMPLES = 30


@pytest.fixture(scope="module")
def document():
    own = Settings(max_body_bytes=200_000, max_pixels=1_000_000)
    engine = engine_in_process(BlobPredictor(), max_pixels=own.max_pixels)
    app = create_app(engine, own, BarGenerator(), fake_digits())
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_call_keeps_to_its_document(document, mode):
    asked = 0
    for result in document.get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
            continue  # there is nothing that could be wrong

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode))
        def check(case):
            nonlocal asked
            asked += 1
            case.call_and_validate()

        check()
    assert asked >= 4 * EXAMPLES
