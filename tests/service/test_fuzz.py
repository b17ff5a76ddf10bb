"""schemathesis on the whole OpenAPI document, all checks, in process; the long run is `tests/soak`."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

import tests.service.fuzz_hooks  # noqa: F401 - its import registers it
from scenes.digits import Digits
from service.app import create_app
from service.inference.engine import engine_in_process
from service.settings import Settings
from tests.service.fakes import BarGenerator, BlobPredictor, fake_digits

EXAMPLES = 30


def schema_of(mnist: Digits | None) -> Any:
    own = Settings(max_body_bytes=200_000, max_pixels=1_000_000)
    engine = engine_in_process(BlobPredictor(), max_pixels=own.max_pixels)
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(engine, own, BarGenerator(), mnist))


def ask_each(schema: Any, mode: GenerationMode) -> int:
    """Ask the operations of a schema, and check all that schemathesis can; how many requests it took."""
    asked = 0
    for result in schema.get_all_operations():
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
    return asked


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_call_keeps_to_its_document(mode):
    assert ask_each(schema_of(fake_digits()), mode) >= 4 * EXAMPLES


def test_scenes_keep_to_it_where_mnist_is_not_at_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("GLIMPSE_MNIST_DIR", str(tmp_path))
    scenes = schema_of(None).include(path_regex="^/synthesize")
    assert ask_each(scenes, GenerationMode.POSITIVE) >= EXAMPLES
