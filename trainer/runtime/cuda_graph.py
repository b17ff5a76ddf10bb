"""A function of tensors as a CUDA graph: one call starts all its kernels.

A training step here is many small kernels. Started one by one, the processor takes longer to ask for them
than the GPU to compute them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

P = ParamSpec("P")
R = TypeVar("R")
_EAGER_CALLS = 3
"""Calls before the capture: they allocate memory, choose and compile kernels, and create optimiser states."""


class CudaGraphCallable(Generic[P, R]):
    """Runs a function a few times, captures it as a CUDA graph, and replays the graph from then on.

    The graph holds the kernels alone. So the function may depend on nothing that changes but its tensor
    arguments, may not wait for the GPU, and must leave what it changes in place at its address. Arguments are
    copied to the addresses that the graph reads.

    Args:
        function: takes and returns tensors, or nested tuples of them, always of the same shapes. The next
            call overwrites the result of the last one.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        self._calls = 0
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: Any = None
        self._output: Any = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result."""
        self._calls += 1
        if self._calls <= _EAGER_CALLS:
            return self._run(*args, **kwargs)
        if self._graph is None:
            self._graph = self._capture((args, kwargs))
        torch._foreach_copy_(_tensors(self._inputs), _tensors((args, kwargs)))
        self._graph.replay()
        output: R = self._output
        return output

    def _run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run eagerly on the stream of the capture, which may touch no memory of another stream."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            output = self._function(*args, **kwargs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return output

    def _capture(self, inputs: Any) -> torch.cuda.CUDAGraph:
        self._inputs = tree_map_only(Tensor, torch.clone, inputs)
        graph = torch.cuda.CUDAGraph()
        args, kwargs = self._inputs
        with torch.cuda.graph(graph, stream=self._stream):
            self._output = self._function(*args, **kwargs)
        return graph


def _tensors(nested: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(nested) if isinstance(leaf, Tensor)]
