"""The calls that make scenes: `GET /synthesize` and `GET /synthesize/json`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import orjson
from fastapi import FastAPI, Query, Request, Response

from service.http.headers import PICTURE_POLICY
from service.http.problems import documented
from service.inference.answer import data_uri, png, to_json
from service.inference.engine import Engine
from service.inference.errors import OverloadedError
from service.monitoring.metrics import Metrics
from service.queries import SceneAnswerQuery, SceneQuery, SynthesizeQuery, refuse_repeats
from service.schemas import PredictedSceneAnswer
from service.synthesis.limiter import SynthesisLimiter
from service.synthesis.synthesize import Scene, Synthesizer

PATHS = ("/synthesize", "/synthesize/json")
_NOT_CACHED = {"Cache-Control": "no-store"}  # without a seed, each scene is another


class PNGResponse(Response):
    """A PNG."""

    media_type = "image/png"


def add_synthesis(
    app: FastAPI, engine: Engine, metrics: Metrics, synthesizer: Synthesizer, limiter: SynthesisLimiter
) -> None:
    """Answer the paths of `PATHS`.

    Args:
        app: where to answer.
        engine: predicts scenes where a request asks for it.
        metrics: count refusals.
        synthesizer: makes the scenes.
        limiter: bounds how many are made and wait.
    """

    def draw_scene(query: SceneQuery) -> tuple[Scene, bytes]:
        scene = synthesizer.make(query)
        return scene, png(scene.picture)

    async def make_scene(query: SceneQuery) -> tuple[Scene, bytes]:
        try:
            return await limiter.run(partial(draw_scene, query))
        except OverloadedError:
            metrics.rejected("queue_full")
            raise

    async def answer_scene(scene: Scene, picture: bytes, *, predict: bool) -> Response:
        content = {"image": data_uri(picture), "truth": scene.truth, "parameters": scene.parameters}
        if predict:
            content["prediction"] = orjson.Fragment(await engine.answer(picture, "array"))
        return Response(to_json(content), headers=_NOT_CACHED, media_type="application/json")

    @app.get(
        PATHS[0],
        operation_id="synthesize",
        tags=["scenes"],
        summary="Make a scene",
        response_class=PNGResponse,
        response_description="The scene.",
        responses={
            200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
            **documented(409, 422, 503, body=False),
        },
    )
    async def synthesize(request: Request, query: Annotated[SynthesizeQuery, Query()]) -> Response:
        """Returns a 100 x 100 px scene. Parameters that are not given are drawn from the seed.

        With `format=json` the answer is that of `/synthesize/json`. The service makes one scene at a time;
        when too many requests wait, further ones get 503 with `Retry-After`.
        """
        refuse_repeats(request.scope["query_string"])
        scene, picture = await make_scene(query)
        if query.format == "json":
            return await answer_scene(scene, picture, predict=query.predict)
        return PNGResponse(picture, headers={**_NOT_CACHED, "Content-Security-Policy": PICTURE_POLICY})

    @app.get(
        PATHS[1],
        operation_id="synthesize_json",
        tags=["scenes"],
        summary="Make a scene, with its truth",
        response_model=PredictedSceneAnswer,
        response_description="The scene, its truth and its parameters.",
        responses=documented(409, 422, 503, body=False),
    )
    async def synthesize_json(request: Request, query: Annotated[SceneAnswerQuery, Query()]) -> Response:
        """Returns the scene as JSON, with its truth. A seed gives the same scene as in `/synthesize`."""
        refuse_repeats(request.scope["query_string"])
        scene, picture = await make_scene(query)
        return await answer_scene(scene, picture, predict=query.predict)
