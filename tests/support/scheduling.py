"""Which process runs which test, where several test at once."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# What the tests of these have in common, images and clusters, is made once: one process runs a whole folder.
FOLDERS = ("tests/docker/", "tests/ray/")
# These begin first, so that no process is left alone with one of them in the end.
LONGEST = (
    *FOLDERS,
    "tests/trainer/test_distributed",
    "tests/trainer/test_compiled",
    "tests/benchmarks/",
    "tests/service/test_workers",
    "tests/test_readme",
    "tests/test_pipeline",
)


def place(node_id: str) -> int:
    """Where a test stands in the order of beginning."""
    return next((place for place, start in enumerate(LONGEST) if node_id.startswith(start)), len(LONGEST))


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """A file's tests stay in one process, for they share fixtures; a free process takes the next file.

    `--dist loadgroup`, which is made for this, does nothing with pytest 9.2 (pytest-dev/pytest-xdist#1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in FOLDERS if file.startswith(folder)), file)
