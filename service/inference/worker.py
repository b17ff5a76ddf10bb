"""A worker process: `python -m service.inference.worker FD`, started by the service, never by hand.

It answers batches from a socket until the service closes it. It holds what may crash or hang: the decoders of
pictures and the model.
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
"""If cores are short, the service goes before its workers, so that it refuses excess requests immediately."""


def main() -> None:
    """Load the model, report it, answer batches."""
    # Signals to the whole process group are for the service, which closes the socket when it is done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    # Warnings are about what clients send, and Python would keep each of them in memory.
    warnings.simplefilter("ignore")
    # The service may end at any time, for example because another worker cannot start. It has logged the
    # reason, which a traceback of every other worker would only hide.
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
    """The predictor, warm for every possible batch size."""
    buckets = tuple(size for size in BUCKETS if size <= config.max_batch)
    return OnnxPredictor(config.model_path, config.provider, config.threads, buckets)


def answer(connection: socket.socket, work: Work) -> None:
    """Answer batches until the service closes the socket: an EOFError or a ConnectionError."""
    while True:
        jobs = receive_blocking(connection)
        try:
            message: object = work(jobs)
        except Exception as error:  # noqa: BLE001 - a defect, which the service logs and answers
            message = error
        connection.sendall(pack(message))


if __name__ == "__main__":
    main()
