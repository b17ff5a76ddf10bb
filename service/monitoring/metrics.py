"""Prometheus metrics, one registry per app, served at `/metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, get_args

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from service.inference.predictor import MAX_BATCH, Named
from service.monitoring.worker_metrics import WorkerCollector

Stage = Literal["body", "queue", "decode", "inference", "encode"]
Rejection = Literal[
    "queue_full",  # too many are waiting
    "deadline",  # it waited longer than its deadline
    "body_limit",  # too many bytes
    "body_time",  # its bytes arrived too slowly
    "pixel_limit",  # too many pixels
    "media_type",  # an unsupported content type
    "image",  # not decodable
    "request",  # an invalid parameter or field
    "key",  # no valid API key
    "guesses",  # too many wrong keys from one address
]

# Few: each bucket costs a line per route or stage, and a comparison per observation.
_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_STAGE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)
_BATCHES = tuple(2**power for power in range(MAX_BATCH.bit_length()))

# Everything that a client can invent shares one label: a metric for each would fill the memory.
NO_ROUTE = "none"
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

_MEDIA_TYPES = ("text/plain", "application/openmetrics-text")


class Metrics:
    """The counters of one service; its methods may be called from any thread and take about 1 µs.

    Call `request_begins` and `request_ends` only in the event loop's thread.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "glimpse_requests",
            "Requests that were answered.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "glimpse_request_duration_seconds",
            "From a request's head to the last byte of its answer.",
            ("route",),
            buckets=_REQUEST_SECONDS,
            registry=self._registry,
        )
        self._in_flight = 0
        in_flight = Gauge(
            "glimpse_requests_in_flight", "Requests that are being answered.", registry=self._registry
        )
        in_flight.set_function(lambda: self._in_flight)
        self._model = Info(
            "glimpse_model", "The model that answers, and where it runs.", registry=self._registry
        )
        stages = Histogram(
            "glimpse_stage_duration_seconds",
            "Parts of a batch: its longest wait, decoding, the model, encoding; and reading one body.",
            ("stage",),
            buckets=_STAGE_SECONDS,
            registry=self._registry,
        )
        self._refused = Counter(
            "glimpse_rejections", "Requests that were refused.", ("reason",), registry=self._registry
        )
        self._batches = Histogram(
            "glimpse_batch_size", "Requests of one batch.", buckets=_BATCHES, registry=self._registry
        )
        self._looks = Counter(
            "glimpse_looks",
            "Frames that the model was shown; by glimpse_batch_size_sum, how many one picture takes.",
            registry=self._registry,
        )
        self._deaths = Counter(
            "glimpse_worker_deaths", "Workers that died or hung, and were replaced.", registry=self._registry
        )
        # Looked up once, since the library's own lookup costs more than the counting.
        self._stages = {stage: stages.labels(stage) for stage in get_args(Stage)}
        self._rejections: dict[str, Counter] = {
            reason: self._refused.labels(reason) for reason in get_args(Rejection)
        }
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def name_model(self, model: Named) -> None:
        """Export which model answers and where it runs."""
        self._model.info({"name": model.name, "version": model.version, "provider": model.provider})

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Export `depth()`, the number of waiting pictures; without this call the metric does not exist."""
        gauge = Gauge("glimpse_queue_depth", "Pictures that wait for the model.", registry=self._registry)
        gauge.set_function(depth)

    def watch_workers(self, pids: Callable[[], Sequence[int | None]]) -> None:
        """Export metrics of the processes `pids()`, the workers in their order; None for one that is down."""
        self._registry.register(WorkerCollector(pids))

    def worker_died(self) -> None:
        """Count a worker that died or hung."""
        self._deaths.inc()

    def batch(self, size: int, looks: int) -> None:
        """Count a batch of so many requests, for which the model saw so many frames."""
        self._batches.observe(size)
        self._looks.inc(looks)

    def stage(self, name: Stage, seconds: float) -> None:
        """Time a stage of a prediction."""
        self._stages[name].observe(seconds)

    def rejected(self, reason: str) -> None:
        """Count a refused request; the reason is one of `Rejection`, or another module's own."""
        counter = self._rejections.get(reason)
        if counter is None:
            counter = self._rejections[reason] = self._refused.labels(reason.replace(" ", "_"))
        counter.inc()

    def request_begins(self) -> None:
        """A request's head has arrived."""
        self._in_flight += 1

    def request_ends(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is a template or `NO_ROUTE`; status 0 means that none was sent."""
        self._in_flight -= 1
        known = (route, method, status)
        children = self._answered.get(known)
        if children is None:
            name = method if method in _METHODS else "other"
            children = self._answered[route, name, status] = (
                self._requests.labels(route, name, str(status)),
                self._request_seconds.labels(route),
            )
        counter, histogram = children
        counter.inc()
        histogram.observe(seconds)

    def text(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format of an Accept header, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(_Lean(self._registry)), content_type


class _Lean(CollectorRegistry):
    """A registry without the creation times of metrics."""

    def __init__(self, full: CollectorRegistry) -> None:
        super().__init__()
        self._full = full

    def collect(self) -> Iterable[Family]:
        for family in self._full.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


def add_metrics(app: FastAPI, metrics: Metrics) -> None:
    """Answer `/metrics`."""

    @app.get(
        "/metrics",
        operation_id="get_metrics",
        tags=["service"],
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
        response_description="The metrics.",
        responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in _MEDIA_TYPES}}},
    )
    async def read(request: Request) -> Response:
        """Returns Prometheus's text format, or OpenMetrics if the client accepts it. Needs no key."""
        content, content_type = metrics.text(request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": content_type})
