"""Memory, processor time and files of the worker processes, as Prometheus's own collector reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector


class WorkerCollector(Collector):
    """The metrics `glimpse_worker_process_…`, per worker; a worker that is down has none."""

    def __init__(self, pids: Callable[[], Sequence[int | None]]) -> None:
        """Take a function that returns the workers' process ids, always in the same order."""
        self._pids = pids

    def collect(self) -> Iterable[Family]:
        """The metrics of this moment."""
        families: dict[str, Family] = {}
        for number, pid in enumerate(self._pids()):
            if pid is None:
                continue
            for family in _read(pid):
                known = families.setdefault(
                    family.name, Family(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    known.add_sample(sample.name, {"worker": str(number)}, sample.value)
        return families.values()


def _read(pid: int) -> Iterable[Family]:
    return ProcessCollector(namespace="glimpse_worker", pid=lambda: pid, registry=None).collect()
