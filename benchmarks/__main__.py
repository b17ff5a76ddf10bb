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
        says: what it measures.
        costs: how long it takes on two cores, and what it needs beside the packages of `make test`.
        trains: whether it trains, and so wants huge pages for its memory.
    """

    module: str
    says: str
    costs: str
    trains: bool = False


BENCHMARKS = {
    "figures": Benchmark(
        "model_card.figures", "the committed model on test digits, or on generated ones (--digits generated)",
        "10 minutes; MNIST",
    ),
    "seeds": Benchmark(
        "model_card.seeds", "one recipe from several seeds; --ship commits the median's model",
        "15 minutes a run; MNIST, finished runs",
    ),
    "photos": Benchmark(
        "model_card.photos", "a folder of labelled pictures, beside Otsu's threshold and a classifier",
        "seconds, the first time 5 minutes more; MNIST",
    ),
    "negatives": Benchmark(
        "model_card.negatives", "makes ten kinds of pictures without a digit, for photos",
        "a minute",
    ),
    "generator": Benchmark(
        "model_card.generator", "generated digits: fidelity, CAS, precision, recall, copies",
        "an hour, later runs minutes; MNIST",
    ),
    "showcase": Benchmark(
        "model_card.showcase", "the README's pictures of scenes",
        "seconds; MNIST",
    ),
    "notebook": Benchmark(
        "model_card.notebook", "runs trainer/notebook.ipynb; --keep keeps its outputs",
        "10 minutes; MNIST",
    ),
    "localisation": Benchmark(
        "compare.localisation", "the method against CAM, Grad-CAM, a spatial transformer, DRAW",
        "half a day; MNIST", trains=True,
    ),
    "ablations": Benchmark(
        "compare.ablations", "the recipe with one thing changed at a time",
        "a day; MNIST", trains=True,
    ),
    "scene_rate": Benchmark(
        "rates.scene_rate", "scenes made per second",
        "3 minutes; MNIST",
    ),
    "inference_rate": Benchmark(
        "rates.inference_rate", "the committed model on one thread: scenes and operations",
        "a minute; MNIST",
    ),
    "train_rate": Benchmark(
        "rates.train_rate", "training steps per second against the floor of their operations",
        "an hour, nothing else running; MNIST, a C++ compiler", trains=True,
    ),
    "gpu": Benchmark(
        "rates.gpu", "all that needs a GPU: provider, training, inference (--trial needs none)",
        "9 minutes; MNIST, an NVIDIA GPU",
    ),
    "serving": Benchmark(
        "serving.serving", "answers per second of the service, against the limit without HTTP",
        "10 minutes, nothing else running; wrk",
    ),
    "overload": Benchmark(
        "serving.overload", "five times as many requests as the service can answer",
        "3 minutes, nothing else running; wrk",
    ),
    "bulk": Benchmark(
        "serving.bulk", "files labelled per second against decoding and onnxruntime alone",
        "5 minutes",
    ),
    "page": Benchmark(
        "serving.page", "from a slider's change to the painted answer; --pictures for the README",
        "2 minutes; Chromium",
    ),
    "hostile": Benchmark(
        "serving.hostile", "mutated files and requests at a running service (tests/soak)",
        "10 minutes",
    ),
    "settings": Benchmark(
        "documents", "writes the table of the service's settings",
        "a second",
    ),
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
        from trainer.memory import ask_for_huge_pages

        ask_for_huge_pages()
    main()
