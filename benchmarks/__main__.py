"""`python -m benchmarks NAME [options]`: makes a figure, a table or a picture that the documents show.

Without a name it lists all benchmarks. `python -m benchmarks NAME --help` shows the options of one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple


class Benchmark(NamedTuple):
    """One command.

    Args:
        module: where its `main` is, below `benchmarks`.
        costs: about how long it takes on two cores, and what it needs beside the packages of `make test`.
        says: what it measures.
        trains: whether it trains, and so wants huge pages for its memory.
    """

    module: str
    costs: str
    says: str
    trains: bool = False


BENCHMARKS = {
    "figures": Benchmark("model_card.figures", "5 minutes; MNIST",
        "the committed model on test digits, or on generated ones (--digits generated)"),
    "seeds": Benchmark("model_card.seeds", "10 minutes a run; MNIST, finished runs",
        "one recipe from several seeds; --ship commits the median's model"),
    "photos": Benchmark("model_card.photos", "seconds, the first time 5 minutes more; MNIST",
        "a folder of labelled pictures, beside Otsu's threshold and a classifier"),
    "generator": Benchmark("model_card.generator", "an hour, later runs minutes; MNIST",
        "generated digits: fidelity, CAS, precision, recall, copies"),
    "showcase": Benchmark("model_card.showcase", "seconds; MNIST",
        "the README's pictures of scenes"),
    "notebook": Benchmark("model_card.notebook", "10 minutes; MNIST",
        "runs trainer/notebook.ipynb; --keep keeps its outputs"),
    "localisation": Benchmark("compare.localisation", "2 hours; MNIST",
        "the method against CAM, Grad-CAM, a spatial transformer, DRAW", trains=True),
    "ablations": Benchmark("compare.ablations", "3 hours; MNIST",
        "the recipe with one thing changed at a time", trains=True),
    "scene_rate": Benchmark("rates.scene_rate", "2 minutes; MNIST",
        "scenes made per second"),
    "inference_rate": Benchmark("rates.inference_rate", "a minute; MNIST",
        "the committed model on one thread: scenes and operations"),
    "train_rate": Benchmark("rates.train_rate", "15 minutes, nothing else running; MNIST, a C++ compiler",
        "training steps per second against the floor of their operations", trains=True),
    "gpu": Benchmark("rates.gpu", "9 minutes; MNIST, an NVIDIA GPU",
        "all that needs a GPU: provider, training, inference (--trial needs none)"),
    "serving": Benchmark("serving.serving", "5 minutes, nothing else running; wrk",
        "answers per second of the service, against the limit without HTTP"),
    "fairness": Benchmark("serving.fairness", "2 minutes, nothing else running; wrk",
        "how others fare beside batches of photographs and a flood of scenes"),
    "overload": Benchmark("serving.overload", "3 minutes, nothing else running; wrk",
        "five times as many requests as the service can answer"),
    "bulk": Benchmark("serving.bulk", "5 minutes",
        "files labelled per second against decoding and onnxruntime alone"),
    "page": Benchmark("serving.page", "2 minutes; Chromium",
        "from a slider's change to the painted answer; --pictures for the README"),
    "hostile": Benchmark("serving.hostile", "10 minutes",
        "mutated files and requests at a running service (tests/soak)"),
    "tables": Benchmark("documents", "a second",
        "writes the tables of the service's settings and of where each figure comes from"),
}  # fmt: skip


def listing() -> str:
    """All benchmarks, a sentence each, and what they cost."""
    lines = [f"{name:>14}  {one.says}\n{'':>14}  ({one.costs})" for name, one in BENCHMARKS.items()]
    return "\n".join([(__doc__ or "").strip(), "", *lines])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark that is named; an error that says what was expected ends it with its sentence."""
    name, *options = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(listing())
        return
    if name not in BENCHMARKS:
        raise SystemExit(f"error: benchmark: expected one of {', '.join(BENCHMARKS)}, got {name!r}")
    from trainer.errors import EXPLAINED  # noqa: PLC0415 - the list needs neither torch nor onnxruntime

    try:
        import_module(f"benchmarks.{BENCHMARKS[name].module}").main(options)
    except EXPLAINED as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in BENCHMARKS and BENCHMARKS[sys.argv[1]].trains:
        from trainer.runtime.memory import ask_for_huge_pages

        ask_for_huge_pages()
    main()
