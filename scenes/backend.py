"""The array API and what it lacks: a type for arrays, fast look-ups, indexed addition, clipping in place."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

Array = Any
"""A NumPy array or a torch tensor. The standard has no static type for "an array of any library"."""


def namespace(*arrays: Array) -> Any:
    """The array API namespace of NumPy arrays or torch tensors."""
    return array_api_compat.array_namespace(*arrays)


def like(reference: Array, values: Array) -> Array:
    """`values`, a NumPy array, as an array of the library and on the device of `reference`."""
    if array_api_compat.is_numpy_array(reference):
        return values
    xp = namespace(reference)
    return xp.asarray(values, device=array_api_compat.device(reference))


def span(reference: Array, stop: int, dtype: str = "float32") -> Array:
    """0, 1, …, stop − 1 as an array of the library and on the device of `reference`."""
    xp = namespace(reference)
    return xp.arange(stop, dtype=getattr(xp, dtype), device=array_api_compat.device(reference))


def look_up(table: Array, index: Array) -> Array:
    """`table[index]` for a flat table and an index of any shape, none of it negative.

    The standard's `take` as array-api-compat gives it for torch copies the index twice to allow for negative
    numbers; with tables of noise and pictures that is a third of the time of a scene.
    """
    if array_api_compat.is_numpy_array(table):
        return table[index]
    return table.index_select(0, index.reshape(-1)).reshape(index.shape)


def add_at(target: Array, index: Array, values: Array) -> None:
    """Add `values` to the flat array `target` at `index`, in place, also where an index repeats."""
    if array_api_compat.is_numpy_array(target):
        np.add.at(target, index, values)
    else:
        target.index_add_(0, index, values)


def clip(values: Array, lowest: float, highest: float) -> Array:
    """Clip an array that is not shared, in place; the standard's `clip` copies several times in torch."""
    if array_api_compat.is_numpy_array(values):
        return np.clip(values, lowest, highest, out=values)
    return values.clamp_(lowest, highest)


def is_asynchronous(array: Array) -> bool:
    """Whether the array's device runs calls asynchronously, so that reading a result waits for it."""
    return not array_api_compat.is_numpy_array(array) and array.device.type != "cpu"
