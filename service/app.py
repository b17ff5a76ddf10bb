"""The HTTP interface, from an app factory that is given the predictor."""

from __future__ import annotations

import os
from typing import Annotated

import anyio
from anyio import to_thread
from fastapi import FastAPI, Query, Request, Response

from scenes.digits import Digits
from service.answer import Answerer, data_uri, png, to_json
from service.errors import add_error_handlers, documented
from service.handwriting import DigitSource, GeneratedDigits, Generator, MnistDigits
from service.pages import add_page
from service.predictor import Predictor
from service.queries import PredictQuery, SourceName, SynthesizeQuery
from service.reference import add_reference
from service.schemas import (
    AliveAnswer,
    ErrorAnswer,
    PredictedSceneAnswer,
    PredictionAnswer,
    PredictionWithoutMaps,
    ReadyAnswer,
    SceneAnswer,
)
from service.settings import Settings
from service.synthesize import Synthesizer
from service.uploads import IMAGE_TYPES, MULTIPART, read_image, read_images

_BINARY = {"type": "string", "format": "binary"}
_ONE_IMAGE = {
    "required": True,
    "description": "A picture as the multipart field `image`, or its bytes as the body.",
    "content": {
        MULTIPART: {
            "schema": {"type": "object", "required": ["image"], "properties": {"image": _BINARY}},
        },
        **{kind: {"schema": _BINARY} for kind in IMAGE_TYPES},
    },
}
_MANY_IMAGES = {
    "required": True,
    "content": {
        MULTIPART: {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {"images": {"type": "array", "items": _BINARY}},
            }
        }
    },
}
_NO_DIGITS = (
    "digits=mnist: MNIST is not at hand: run `python -m scenes download` once, or set GLIMPSE_MNIST_DIR …"
)


class _JSON(Response):
    media_type = "application/json"


def create_app(
    predictor: Predictor,
    settings: Settings,
    generator: Generator,
    mnist: Digits | None = None,
) -> FastAPI:
    """The service around a predictor.

    Args:
        predictor: a model that is loaded and ready.
        settings: the limits.
        generator: what writes the digits of `/synthesize`.
        mnist: what `digits=mnist` draws from; without it, MNIST's test split where that is at hand.
    """
    app = FastAPI(
        title="Glimpse",
        version=predictor.version,
        description="Finds, frames and reads a handwritten digit in a cluttered picture. Lengths are in px "
        "of the picture as it was posted: x to the right, y down, origin at the top-left corner.",
        docs_url=None,  # their scripts would come from another host; add_reference writes one without
        redoc_url=None,
    )
    add_error_handlers(app)
    answerer = Answerer(predictor, settings.max_pixels)
    _add_prediction(app, answerer, settings.max_body_bytes)
    sources: dict[SourceName, DigitSource] = {
        "generated": GeneratedDigits(generator),
        "mnist": MnistDigits(mnist),
    }
    _add_synthesis(app, answerer, Synthesizer(sources))
    _add_health(app, predictor, answerer.model)
    add_page(app)
    add_reference(app)
    return app


def _add_prediction(app: FastAPI, answerer: Answerer, max_body_bytes: int) -> None:
    # Decoding may take hundreds of megabytes a picture: no more at a time than there are cores to do it.
    limiter = anyio.CapacityLimiter(2 * (os.cpu_count() or 1))

    @app.post(
        "/predict",
        summary="Find and read the digit in a picture",
        response_model=PredictionAnswer | PredictionWithoutMaps,
        response_description="What the model says of the picture.",
        responses=documented(413, 415, 422, 503),
        openapi_extra={"requestBody": _ONE_IMAGE},
    )
    async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """Label, box, attention and what the classifier saw. Pictures of any size, mode and polarity."""
        data = await read_image(request, max_body_bytes)

        def work() -> bytes:
            return to_json(answerer.answer(data, query.maps))

        return _JSON(await to_thread.run_sync(work, limiter=limiter))

    @app.post(
        "/predict/batch",
        summary="Find and read the digits in many pictures",
        response_model=list[PredictionAnswer | PredictionWithoutMaps | ErrorAnswer],
        response_description="What the model says of each picture.",
        responses=documented(413, 415, 422, 503),
        openapi_extra={"requestBody": _MANY_IMAGES},
    )
    async def predict_batch(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """A list in the files' order, each an answer as of `/predict` or a `detail` that says why not."""
        files = await read_images(request, max_body_bytes)

        def work() -> bytes:
            return to_json(answerer.answer_batch(files, query.maps))

        return _JSON(await to_thread.run_sync(work, limiter=limiter))


def _add_synthesis(app: FastAPI, answerer: Answerer, synthesizer: Synthesizer) -> None:
    @app.get(
        "/synthesize",
        summary="Make a scene",
        response_model=SceneAnswer | PredictedSceneAnswer,
        responses={
            200: {"description": "The scene.", "content": {"image/png": {"schema": _BINARY}}},
            **documented(422, 503, unavailable=_NO_DIGITS),
        },
    )
    def synthesize(query: Annotated[SynthesizeQuery, Query()]) -> Response:
        """A 100 x 100 px scene of digits that nobody wrote; what is not given is drawn from the seed."""
        scene = synthesizer.make(query)
        picture = png(scene.picture)
        headers = {"Cache-Control": "no-store"}  # without a seed, each is another
        if query.format == "png":
            return Response(picture, media_type="image/png", headers=headers)
        answer = {"image": data_uri(picture), "truth": scene.truth, "parameters": scene.parameters}
        if query.predict:
            answer["prediction"] = answerer.answer(picture, "array")
        return _JSON(to_json(answer), headers=headers)


def _add_health(app: FastAPI, predictor: Predictor, model: dict[str, str]) -> None:
    @app.get(
        "/healthz",
        summary="Is the process alive?",
        response_model=AliveAnswer,
        response_description="It is.",
    )
    async def alive() -> Response:
        """Answers as long as the process takes requests at all."""
        return _JSON(to_json({"status": "alive"}))

    @app.get(
        "/readyz",
        summary="Can it answer now?",
        response_model=ReadyAnswer,
        response_description="It can.",
        responses=documented(503),
    )
    def ready() -> Response:
        """Runs the model on a dark scene: ready is only what has just answered, on the required provider."""
        predictor.check()
        return _JSON(to_json({"status": "ready", "model": model}))
