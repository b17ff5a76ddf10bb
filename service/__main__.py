"""`python -m service`: load the model, listen, answer until told to stop."""

from __future__ import annotations

import argparse
import logging
import math
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import uvicorn
from uvicorn._compat import asyncio_run

from models.contract import ContractError, load_contract
from service import __version__
from service.app import create_app
from service.http.server.lifecycle import Server
from service.http.server.protocol import guarded_protocol
from service.http.server.shedding import LoadShedder
from service.inference.engine import start_engine
from service.inference.errors import PredictorError, WorkerError
from service.inference.providers import ProviderError
from service.monitoring.logs import configure_logs, log_uncaught_errors
from service.settings import Settings, SettingsError, find_log_format, load_settings
from service.synthesis.generator import OnnxGenerator

_SWITCH_INTERVAL_S = 0.0005
"""How long a thread that makes a scene may block the event loop; Python's default is 5 ms."""

_log = logging.getLogger("service")


def main(arguments: list[str] | None = None) -> int:
    """Serve, or label files where the first argument is `bulk`; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["bulk"]:
        from service.bulk import command  # noqa: PLC0415 - a server has no use for it

        return command.main(arguments[1:])
    return serve(arguments)


def serve(arguments: list[str], *, prog: str = "python -m service") -> int:
    """Serve until SIGTERM or SIGINT; returns 0 after such a stop, 1 if the service cannot start or go on."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve a Glimpse model over HTTP. Everything else is set by environment variables: "
        + ", ".join(f"GLIMPSE_{name.upper()}" for name in Settings.model_fields)
        + ", GLIMPSE_MNIST_DIR.",
        epilog="`python -m service bulk SRC… --out predictions.parquet` labels files instead of serving; "
        "`python -m service bulk --help` says how.",
    )
    parser.add_argument("--host", help="address to listen on (GLIMPSE_HOST, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (GLIMPSE_PORT, 8000)")
    parser.add_argument("--version", action="version", version=f"Glimpse {__version__}")
    given = parser.parse_args(arguments)
    configure_logs(find_log_format())
    log_uncaught_errors()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # uvicorn stops gracefully, then raises the signal again for the handler that was there before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        settings = load_settings(host=given.host, port=given.port)
        with _listen(settings.host, settings.port) as listener:
            loops = uvicorn.Config("", log_config=None).get_loop_factory()
            failure = asyncio_run(_serve(settings, listener), loop_factory=loops)
    except (SettingsError, OSError, ContractError, ProviderError, PredictorError, WorkerError) as error:
        _log.critical("Glimpse does not start: %s", error)
        return 1
    if failure:
        _log.critical("Glimpse has stopped: %s", failure)
    return 1 if failure else 0


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, opened before the model is loaded, so that a port in use is reported at once."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name such as localhost may have both kinds of address; most clients try IPv4.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


async def _serve(settings: Settings, listener: socket.socket) -> str:
    """Serve until a stop; the reason if nobody asked for the stop, else empty."""
    _name_model(settings.model_path)
    generator = OnnxGenerator(settings.digits_path)
    engine = await start_engine(settings)
    if engine.provider_note:
        _log.warning("The model runs on the CPU: %s", engine.provider_note)
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    app = create_app(engine, settings, generator)
    # If every request is logged, every request has to go through the app.
    shared = bool(settings.cors_origins)
    shed_load = (
        None if settings.access_log else LoadShedder(app.state.gates, app.state.metrics, shared=shared)
    )
    config = uvicorn.Config(
        app,
        log_config=None,  # its loggers are set up like all others (logs.py)
        access_log=False,  # written by observe.py
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        http=guarded_protocol(settings.head_timeout_s, shed_load),
        ws="none",
        timeout_keep_alive=75,  # longer than most proxies: who closes first may meet a request on its way
        timeout_graceful_shutdown=math.ceil(settings.grace_s),
    )
    # Where the log is for machines, the greeting is a line of it: all that a container prints is JSON.
    greet = _log.info if settings.log_format == "json" else partial(print, flush=True)
    server = Server(
        config,
        engine,
        partial(greet, f"Glimpse listens on {address} with {engine.provider}"),
        settings.drain_s,
    )
    await server.serve(sockets=[listener])
    return engine.failure


def _name_model(path: Path) -> None:
    """Log which model will run; ContractError if the file and its sidecar do not match."""
    contract = load_contract(path)
    _log.info(
        "Glimpse %s starts with the model %s: %s %s, SHA-256 %s",
        *(__version__, path, contract.name, contract.version, contract.sha256[:8]),
    )


if __name__ == "__main__":
    sys.exit(main())
