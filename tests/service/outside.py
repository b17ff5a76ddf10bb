"""The app as the tests of what is seen from outside want it: with other settings, or with a defect."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from service.app import create_app
from service.inference.engine import engine_in_process
from service.settings import Settings
from tests.service.fakes import BarGenerator, BlobPredictor, fake_digits


def make_app(predictor: BlobPredictor | None = None, *, broken: bool = False, **settings: Any) -> FastAPI:
    """An app around the predictor; if `broken`, its `/readyz` divides by zero."""
    limits = {"max_body_bytes": 200_000, "max_pixels": 1_000_000}
    known = Settings(**{**limits, **settings})
    engine = engine_in_process(predictor or BlobPredictor(), max_pixels=known.max_pixels)
    if broken:
        engine.check = lambda: 1 // 0  # type: ignore[method-assign,assignment]
    return create_app(engine, known, BarGenerator(), fake_digits())
