"""The messages between the service and its worker processes: data, with its length in front.

Workers decode hostile bytes, so nothing that they send may be code, as a pickle would be. A message is a JSON
tree of a few known types, followed by a payload: the bytes and arrays of the tree.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from models.contract import ContractError
from service.inference.errors import PredictorError
from service.inference.jobs import (
    BatchResult,
    NeedsExclusive,
    PictureJob,
    TensorJob,
    WorkerConfig,
    WorkerInfo,
)
from service.inference.providers import ProviderError
from service.pictures.decode import ImageError, TooManyPixelsError

_LENGTHS = struct.Struct("<QQ")
"""Bytes of the tree, and of the payload."""
_MOST_BYTES = 2**30


class WireError(ValueError):
    """The received bytes are no message."""


class WorkerDefectError(RuntimeError):
    """A worker's own code has failed; the message is its traceback."""


_RECORDS: Mapping[str, Callable[..., object]] = {
    record.__name__: record
    for record in (WorkerConfig, WorkerInfo, PictureJob, TensorJob, NeedsExclusive, BatchResult)
}
_ERRORS: Mapping[str, type[Exception]] = {
    error.__name__: error
    for error in (
        *(ContractError, ProviderError, PredictorError, ImageError, TooManyPixelsError),
        WorkerDefectError,
    )
}


def pack(message: object) -> bytes:
    """A message in bytes; an error of an unknown type becomes a WorkerDefectError.

    Raises:
        TypeError: the message holds something that is no data.
    """
    payload: list[bytes] = []
    tree = orjson.dumps(_write(message, payload))
    return b"".join([_LENGTHS.pack(len(tree), sum(map(len, payload))), tree, *payload])


async def receive(stream: asyncio.StreamReader, begun: Callable[[], None]) -> Any:
    """The next message; calls `begun` when its first bytes have arrived.

    Raises:
        asyncio.IncompleteReadError: the other end has closed.
        WireError: the received bytes are no message.
    """
    tree, payload = _lengths(await stream.readexactly(_LENGTHS.size))
    begun()
    return _unpack(await stream.readexactly(tree), await stream.readexactly(payload))


def receive_blocking(connection: socket.socket) -> Any:
    """The next message; EOFError if the other end has closed, WireError if the bytes are no message."""
    tree, payload = _lengths(_read_exactly(connection, _LENGTHS.size))
    return _unpack(_read_exactly(connection, tree), _read_exactly(connection, payload))


def _lengths(header: bytes | bytearray) -> tuple[int, int]:
    tree, payload = _LENGTHS.unpack(header)
    if tree + payload > _MOST_BYTES:
        raise WireError(f"expected a message of at most {_MOST_BYTES} bytes, got {tree + payload}")
    return tree, payload


def _read_exactly(connection: socket.socket, count: int) -> bytearray:
    came = bytearray(count)
    view = memoryview(came)
    while view:
        read = connection.recv_into(view)
        if not read:
            raise EOFError("the other end has gone")
        view = view[read:]
    return came


def _write(value: object, payload: list[bytes]) -> object:
    """The tree of a value: a scalar as it is, anything else as a list that begins with its type."""

    def each(values: Sequence[object]) -> list[object]:
        return [_write(item, payload) for item in values]

    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        payload.append(value)
        return ["bytes", len(value)]
    if isinstance(value, np.ndarray):
        payload.append(value.tobytes())
        return ["array", value.dtype.str, value.shape, value.nbytes]
    if isinstance(value, Path):
        return ["path", str(value)]
    if isinstance(value, Exception):
        return _write_error(value)
    if isinstance(value, tuple) and type(value).__name__ in _RECORDS:
        return [type(value).__name__, *each(value)]
    if isinstance(value, tuple | list):
        return ["tuple" if isinstance(value, tuple) else "list", *each(value)]
    if isinstance(value, Mapping):
        return ["dict", list(value), *each(list(value.values()))]
    raise TypeError(f"expected data, got {type(value).__name__}")


def _write_error(error: Exception) -> list[str]:
    name = type(error).__name__
    if _ERRORS.get(name) is type(error):
        return [name, str(error)]
    return [WorkerDefectError.__name__, "".join(traceback.format_exception(error))]


def _unpack(tree: bytes | bytearray, payload: bytes | bytearray) -> object:
    view = memoryview(payload)
    try:
        return _read(orjson.loads(tree), _Pieces(view))
    except WireError:
        raise
    except (LookupError, TypeError, ValueError, RecursionError) as error:  # orjson's own is a ValueError
        raise WireError(f"expected a message, got invalid data: {error}") from error


class _Pieces:
    """A message's payload, taken piece by piece in the order of the tree."""

    def __init__(self, view: memoryview) -> None:
        self._left = view

    def take(self, size: int) -> memoryview:
        """The next so many bytes; WireError if there are fewer."""
        if not 0 <= size <= len(self._left):
            raise WireError(f"expected {size} more bytes, got {len(self._left)}")
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def _read(tree: Any, pieces: _Pieces) -> object:
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree
    if kind in _RECORDS:
        return _RECORDS[kind](*_each(rest, pieces))
    if kind in _ERRORS:
        (message,) = rest
        return _ERRORS[kind](str(message))
    match kind:
        case "list":
            return list(_each(rest, pieces))
        case "tuple":
            return tuple(_each(rest, pieces))
        case "dict":
            names, *values = rest
            return dict(zip(names, _each(values, pieces), strict=True))
        case "bytes":
            (size,) = rest
            return bytes(pieces.take(size))
        case "array":
            dtype, shape, size = rest
            return _read_array(dtype, shape, pieces.take(size))
        case "path":
            (path,) = rest
            return Path(path)
    raise WireError(f"expected a message, got {str(kind)[:100]!r}")


def _each(trees: Sequence[Any], pieces: _Pieces) -> Iterator[object]:
    return (_read(tree, pieces) for tree in trees)


def _read_array(dtype: str, shape: list[int], data: memoryview) -> object:
    kind = np.dtype(dtype)
    if kind.kind not in "biuf":
        raise WireError(f"expected an array of numbers, got {dtype}")
    return np.frombuffer(data, kind).reshape(shape)
