"""The service as an application of Ray Serve: `serve run docker/ray/serve.yaml` takes `application`.

A replica is the whole service without its HTTP server: the same app around the same engine. The engine has a
worker process instead of threads, so a picture that crashes or hangs a decoder costs only that worker, and is
refused. If a replica died of it, the request would be repeated and kill the other replicas. One worker is
enough, since Ray Serve adds and removes replicas.
"""

from __future__ import annotations

import logging
import os

try:
    import ray
    from ray import serve
except ImportError as error:
    raise ImportError(f"Ray Serve is not at hand ({error}): run `pip install '.[ray]'`") from error
from fastapi import FastAPI

from service.app import create_app
from service.inference.engine import start_engine
from service.monitoring.logs import configure_logs
from service.ray_serve.proxy import MIDDLEWARE, MIDDLEWARE_VARIABLE
from service.settings import find_log_format, load_settings
from service.synthesis.generator import OnnxGenerator

_log = logging.getLogger(__name__)


@serve.deployment(name="glimpse")
@serve.ingress()
class Replica:
    """The app and its engine. Ray Serve runs the app, asks for its health, and drains it before the end."""

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """Load the model of the settings, and make the app once it is warm; no request comes earlier.

        Ray Serve begins and ends the app's lifespan, and with it the engine's.

        Raises:
            SettingsError, ContractError, ProviderError, PredictorError, WorkerError: there is no start.
        """
        configure_logs(find_log_format())
        settings = load_settings()
        if os.environ.get(MIDDLEWARE_VARIABLE) != MIDDLEWARE:
            _log.warning(
                "%s was not %s when Ray started on this node: requests are lost when a node dies",
                *(MIDDLEWARE_VARIABLE, MIDDLEWARE),
            )
        cpus = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        share = {"workers": settings.workers or 1, "threads": settings.threads or max(1, cpus)}
        settings = settings.model_copy(update=share)
        generator = OnnxGenerator(settings.digits_path)
        self._engine = await start_engine(settings)
        return create_app(self._engine, settings, generator)

    async def check_health(self) -> None:
        """Raise PredictorError if the model cannot answer; Ray Serve replaces the replica after three."""
        self._engine.check()


application = Replica.bind()  # type: ignore[attr-defined]  # the decorator adds it
