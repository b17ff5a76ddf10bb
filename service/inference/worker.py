"""A worker process: `python -m service.inference.worker FD`, started by the service, never by hand.

It answers batches that come over a socket until the other end has gone. It holds what may crash or hang: the
decoders of pictures and the model.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import warnings
from contextlib import suppress

from models.contract import ContractError
from service.inference.errors import PredictorError
from service.inference.jobs import WorkerConfig, WorkerInfo
from service.inference.policy import BUCKETS
from service.inference.predictor import OnnxPredictor
from service.inference.providers import ProviderError
from service.inference.wire import pack, receive_blocking
from service.inference.work import Work

_NICENESS = 5
"""Where cores are short the service itself goes first: it tells who comes too many, at once."""


def main() -> None:
    """Load the model, say so, answer batches."""
    # Ctrl-C and a stop of the whole process group are for the service: it closes the socket in its own time.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    # They are about what clients send, and Python keeps each of them for ever, lest it says one twice.
    warnings.simplefilter("ignore")
    # The service may have gone at any time, for instance because a worker beside this one cannot start: it
    # has said why, and a traceback of each other worker would only hide that.
    with socket.socket(fileno=int(sys.argv[1])) as connection, suppress(EOFError, ConnectionError):
        config: WorkerConfig = receive_blocking(connection)
        try:
            predictor = load(config)
        except (ContractError, ProviderError, PredictorError) as error:
            connection.sendall(pack(error))
            return
        note = predictor.provider_note
        connection.sendall(pack(WorkerInfo(predictor.name, predictor.version, predictor.provider, note)))
        answer(connection, Work(predictor))


def load(config: WorkerConfig) -> OnnxPredictor:
    """The predictor, warm for every size of batch that may come."""
    buckets = tuple(size for size in BUCKETS if size <= config.max_batch)
    return OnnxPredictor(config.model_path, config.provider, config.threads, buckets)


def answer(connection: socket.socket, work: Work) -> None:
    """Answer batches until the other end has gone, which is an EOFError or a ConnectionError."""
    while True:
        jobs = receive_blocking(connection)
        try:
            message: object = work(jobs)
        except Exception as error:  # noqa: BLE001 - a defect: whoever asked is told of it
            message = error
        connection.sendall(pack(message))


if __name__ == "__main__":
    main()
