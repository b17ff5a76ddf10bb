"""`python -m benchmarks.timed_run RUN`: how long one whole run took, and what its model reaches.

The time is from the first step to the calibrated model, as the run's own files have it: scenes, varied
handwriting, looks at held-out digits, checkpoints and compiling are in it. Train while nothing else runs, and
in one go: the time of a run that was resumed lacks what the stop had cost. The exported file is measured on
test digits, as `benchmarks.figures` does with the committed one.

Writes `benchmarks/results/timed_run.json`, and the table into `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.documents import fill_in
from benchmarks.figures import markdown_table
from benchmarks.results import sentence_or_exit, write_result
from benchmarks.seeds import measure_run
from scenes.mnist import load_digits
from trainer import provenance
from trainer.checkpoint import load_checkpoint


@sentence_or_exit()
def main(arguments: list[str] | None = None) -> None:
    """Measure the run, write the result file and the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timed_run", description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    about = load_checkpoint(options.run)["about"]
    if about.get("starts") != 1:
        raise ValueError(f"expected a run that was made in one go, but {options.run} was stopped and resumed")
    test, held_out = load_digits("test"), load_digits("validation")
    reached = measure_run(options.run, test, held_out, options.draws, options.scenes, options.threads)
    content = {"trained": about, **reached}
    print(markdown(content))
    print(f"wrote {write_result('timed_run', provenance.command(), content, threads=options.threads)}")
    fill_in("timed_run", markdown(content))


def markdown(content: dict[str, Any]) -> str:
    """The run in a sentence, and its figures on test digits as a Markdown table."""
    made = content["trained"]
    return (
        f"`{made['command']}` on {made['hardware']}: **{content['seconds'] / 60:.1f} minutes** for "
        f"{made['recipe']['steps']:,} steps.\n\n{markdown_table(content['test']['presets'])}"
    )


if __name__ == "__main__":
    main()
