"""`python -m service`: load the model, listen, answer until told to stop."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys

import uvicorn

from models.contract import ContractError
from service.app import create_app
from service.generator import OnnxGenerator
from service.predictor import OnnxPredictor, PredictorError
from service.providers import ProviderError
from service.settings import Settings, SettingsError, load_settings


class _Server(uvicorn.Server):
    """A server that says where it listens once that is true."""

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._greeting, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a stop that was asked for, 1 where there is no start."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve a Glimpse model over HTTP. Everything else is set by environment variables: "
        + ", ".join(f"GLIMPSE_{name.upper()}" for name in Settings.model_fields)
        + ", GLIMPSE_MNIST_DIR.",
    )
    parser.add_argument("--host", help="address to listen on (GLIMPSE_HOST, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (GLIMPSE_PORT, 8000)")
    given = parser.parse_args(arguments)
    # uvicorn stops gracefully, then raises the signal again for the handler that was there before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    # A client's broken form is answered with a 422; nobody needs to read of it in the log.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    try:
        settings = load_settings(host=given.host, port=given.port)
        with _listen(settings.host, settings.port) as listener:
            _serve(settings, listener)
    except (SettingsError, OSError, ContractError, ProviderError, PredictorError) as error:
        print(f"Glimpse does not start: {error}", file=sys.stderr)
        return 1
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; taken before the model is loaded, so that a port in use is said at once."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name such as localhost may have both kinds of address; most clients try IPv4.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def _serve(settings: Settings, listener: socket.socket) -> None:
    generator = OnnxGenerator(settings.digits_path)
    predictor = OnnxPredictor(settings.model_path, settings.provider, settings.threads)
    if predictor.provider_note:
        print(f"The model runs on the CPU: {predictor.provider_note}", file=sys.stderr, flush=True)
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    config = uvicorn.Config(
        create_app(predictor, settings, generator),
        log_level="info" if settings.access_log else "warning",
        access_log=settings.access_log,
        timeout_graceful_shutdown=10,
    )
    _Server(config, f"Glimpse listens on {address} with {predictor.provider}").run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
