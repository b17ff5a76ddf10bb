"""The HTTP interface, from an app factory that is given the predictor."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Annotated

import anyio
import orjson
from fastapi import FastAPI, Query, Request, Response

from scenes.digits import Digits
from service.docs_page.reference import add_reference
from service.http.direct import DirectRoute, Endpoint
from service.http.errors import ErrorAnswers, add_error_handlers
from service.http.keys import read_keys
from service.http.middleware import WrappedApp
from service.http.problems import documented
from service.http.uploads import BodyLimits, read_image, read_images
from service.inference.answer import model_of, to_json
from service.inference.engine import Engine
from service.monitoring.engine_events import EngineEvents
from service.monitoring.metrics import Metrics, add_metrics
from service.openapi import DESCRIPTION, ONE_IMAGE, TAGS, add_openapi, many_images
from service.page.files import add_page
from service.queries import PredictQuery, SourceName, refuse_repeats
from service.schemas import (
    AliveAnswer,
    ErrorAnswer,
    PredictionAnswer,
    ReadyAnswer,
)
from service.settings import Settings
from service.synthesis.handwriting import DigitSource, GeneratedDigits, Generator, MnistDigits
from service.synthesis.limiter import SynthesisLimiter
from service.synthesis.routes import PATHS, add_synthesis
from service.synthesis.synthesize import Synthesizer
from service.v2.infer import Served
from service.v2.routes import add_open_inference

_JSON = "application/json"


def create_app(
    engine: Engine,
    settings: Settings,
    generator: Generator,
    mnist: Digits | None = None,
) -> FastAPI:
    """The service around a model.

    Args:
        engine: a model that is loaded and ready; it takes jobs while the app runs.
        settings: the limits.
        generator: what writes the digits of `/synthesize`.
        mnist: what `digits=mnist` draws from; without it, MNIST's test split where that is at hand.

    Raises:
        SettingsError: the API keys cannot be read.
    """
    metrics = Metrics()
    metrics.name_model(engine)
    metrics.watch_queue(lambda: engine.waiting)
    metrics.watch_workers(lambda: engine.worker_pids)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with engine.running(EngineEvents(metrics)):
            yield

    errors = ErrorAnswers(metrics)
    limits = BodyLimits.of(settings)
    predict = _predict_endpoint(engine, metrics, limits)
    keys = read_keys(settings)
    app = WrappedApp(
        settings,
        metrics,
        keys,
        DirectRoute("/predict", predict, errors),
        lifespan=lifespan,
        title="Glimpse",
        version=engine.version,
        description=DESCRIPTION,
        redirect_slashes=False,  # a redirect's address would repeat whatever the Host header says
        openapi_tags=TAGS,
        docs_url=None,  # its scripts would come from another host; add_reference needs none
        redoc_url=None,
    )
    add_error_handlers(app, errors)
    _add_predictions(app, engine, predict, limits)
    sources: dict[SourceName, DigitSource] = {
        "generated": GeneratedDigits(generator),
        "mnist": MnistDigits(mnist),
    }
    limiter = SynthesisLimiter()
    add_synthesis(app, engine, metrics, Synthesizer(sources), limiter)
    # The load shedder asks these before it lets a request into the app (http/server/shedding.py).
    app.state.gates = {("POST", "/predict"): engine.is_full} | {
        ("GET", path): limiter.is_flooded for path in PATHS
    }
    _add_health(app, engine)
    if settings.metrics:
        add_metrics(app, metrics)
    _add_open_inference(app, engine, limits)
    add_page(app)
    add_reference(app)
    add_openapi(app, head_timeout_s=settings.head_timeout_s, needs_key=bool(keys))
    return app


def _predict_endpoint(engine: Engine, metrics: Metrics, limits: BodyLimits) -> Endpoint:
    async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """Returns label, box, attention and what the classifier saw, for a picture of any size."""
        refuse_repeats(request.scope["query_string"])
        start = perf_counter()
        data = await read_image(request, limits)
        metrics.stage("body", perf_counter() - start)
        return Response(await engine.answer(data, query.maps), media_type=_JSON)

    return predict


def _add_predictions(app: FastAPI, engine: Engine, predict: Endpoint, limits: BodyLimits) -> None:
    app.post(
        "/predict",
        operation_id="predict",
        tags=["predictions"],
        summary="Find and read the digit in a picture",
        response_model=PredictionAnswer,
        response_description="The prediction.",
        responses=documented(400, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": ONE_IMAGE},
    )(predict)

    @app.post(
        "/predict/batch",
        operation_id="predict_batch",
        tags=["predictions"],
        summary="Find and read the digits in many pictures",
        response_model=list[PredictionAnswer | ErrorAnswer],
        response_description="A prediction or an error for each picture.",
        responses=documented(400, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": many_images(limits.files)},
    )
    async def predict_batch(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """Returns a list in the order of the files: for each an answer as from `/predict`, or a `detail`.

        Requests with a single picture go first. If the service is too busy to finish the list, the remaining
        entries say so. If no picture has an answer, the response is 503.
        """
        refuse_repeats(request.scope["query_string"])
        answers = await engine.answer_many(await read_images(request, limits), query.maps)
        whole = [
            orjson.Fragment(answer) if isinstance(answer, bytes) else {"detail": str(answer)}
            for answer in answers
        ]
        return Response(to_json(whole), media_type=_JSON)


def _add_health(app: FastAPI, engine: Engine) -> None:
    @app.get(
        "/healthz",
        operation_id="get_health",
        tags=["service"],
        summary="Is the process alive?",
        response_model=AliveAnswer,
        response_description="It is alive.",
    )
    async def alive() -> Response:
        """Returns 200 as long as the process accepts requests."""
        return Response(to_json({"status": "alive"}), media_type=_JSON)

    @app.get(
        "/readyz",
        operation_id="get_readiness",
        tags=["service"],
        summary="Can it answer now?",
        response_model=ReadyAnswer,
        response_description="It is ready.",
        responses=documented(503),
    )
    async def ready() -> Response:
        """Returns 200 if every worker is alive and its model has just answered, on the required provider.

        Idle workers run the model on a dark scene twice a second. The service is not ready if a worker has
        been silent for a second, or after the service was told to stop.
        """
        engine.check()
        return Response(to_json({"status": "ready", "model": model_of(engine)}), media_type=_JSON)


def _add_open_inference(app: FastAPI, engine: Engine, limits: BodyLimits) -> None:
    limiter = anyio.CapacityLimiter(2 * (os.cpu_count() or 1))
    model = Served(engine.name, engine.version, engine.infer, engine.check)
    add_open_inference(app, model, limits, limiter)
