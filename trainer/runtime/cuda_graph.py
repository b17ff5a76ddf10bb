"""A function of tensors as one recorded CUDA graph: its hundreds of kernels are started by a single call.

A training step here is many small kernels. Started one by one, the processor takes longer to ask for them
than the GPU to work them out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

_Result = TypeVar("_Result")
_CALLS_BEFORE = 3
"""How often it is called as it is: memory is taken, kernels are chosen and compiled, states come to be."""


class Recorded(Generic[_Result]):
    """Calls of a function; from the fourth on they are replays of that call's kernels.

    What the function does beside launching kernels is done but once. So it may depend on nothing that changes
    but the tensors it is given, may not wait for the GPU, and what it changes in place must stay where it is.

    Args:
        function: takes and returns tensors, or nested tuples of them, the shapes always the same. Of what
            it returns only the latest is to be had: the next call overwrites it.
    """

    def __init__(self, function: Callable[..., _Result]) -> None:
        self._function = function
        self._calls = 0
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._given: Any = None
        self._found: Any = None

    def __call__(self, *given: Any) -> _Result:
        """The function's result for what is given."""
        self._calls += 1
        if self._calls <= _CALLS_BEFORE:
            return self._beside(given)
        if self._graph is None:
            self._record(given)
        torch._foreach_copy_(_tensors(self._given), _tensors(given))
        assert self._graph is not None
        self._graph.replay()
        found: _Result = self._found
        return found

    def _beside(self, given: Any) -> _Result:
        """On the stream that will record: what is made on another may not be touched while recording."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            found = self._function(*given)
        torch.cuda.current_stream().wait_stream(self._stream)
        return found

    def _record(self, given: Any) -> None:
        self._given = tree_map_only(Tensor, torch.clone, given)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._found = self._function(*self._given)


def _tensors(nested: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(nested) if isinstance(leaf, Tensor)]
