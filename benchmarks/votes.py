"""`python -m benchmarks.votes RUN…`: what other guesses should count beside the second glimpse's.

The label's error on scenes of held-out training digits, averaged over the runs, for each choice of
`trainer.model.Votes`. Labels alone are looked at. Writes `benchmarks/results/votes.json` and the table into
`trainer/README.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.documents import ROOT, fill_in, percent
from benchmarks.results import sentence_or_exit, write_result
from scenes.digits import Digits
from scenes.mnist import load_digits
from scenes.presets import PRESETS
from trainer import provenance
from trainer.checkpoint import load_checkpoint, load_trained_model
from trainer.model import VOTES, VOTES_IN_TRAINING, Votes
from trainer.validation import held_out_batches

PAGE = ROOT / "trainer" / "README.md"
CHOICES = (Votes(0.0, 0.0), VOTES_IN_TRAINING, Votes(0.5, 0.0), VOTES, Votes(0.5, 0.3), Votes(1.0, 0.1))
_SEED = 3  # not the scenes of `trainer.validation` nor of `trainer.calibrate`


@sentence_or_exit()
def main() -> None:
    """Measure, print, write the result file and the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.votes", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument("--scenes", type=int, default=20_000, help="of each preset, a multiple of 125")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    held_out = load_digits("validation")
    runs = []
    for run in options.runs:
        about = load_checkpoint(run)["about"]
        made = {key: about[key] for key in ("seed", "commit", "command")}
        runs.append({**made, "errors": measure(load_trained_model(run), held_out, options.scenes)})
    content = {"scenes": options.scenes, "runs": runs}
    print(markdown(content))
    print(f"wrote {write_result('votes', provenance.command(), content, threads=options.threads)}")
    fill_in("votes", markdown(content), PAGE)


@torch.inference_mode()
def measure(model: nn.Module, held_out: Digits, scenes: int) -> list[dict[str, float]]:
    """Share of wrong labels on each scene preset, for each of `CHOICES`.

    Raises:
        ValueError: `scenes` is no positive multiple of 125.
    """
    found: list[dict[str, float]] = [{} for _ in CHOICES]
    for name in PRESETS:
        batches = held_out_batches(name, held_out, seed=_SEED, scenes=scenes, device=torch.device("cpu"))
        wrong = [0] * len(CHOICES)
        for batch in batches:
            looks = model(batch.scenes)
            for i, votes in enumerate(CHOICES):
                wrong[i] += int((recount(looks, votes).argmax(1) != batch.labels).sum())
        for errors, count in zip(found, wrong, strict=True):
            errors[name] = count / scenes
    return found


def recount(looks: Any, votes: Votes) -> Tensor:
    """The logits of an answering model's `Looks`, `[batch, 10]`, with other votes than its own."""
    logits: Tensor = (
        looks.logits
        + (votes.first_glimpse - VOTES.first_glimpse) * looks.refiner_logits
        + (votes.gathered - VOTES.gathered) * looks.gathered_logits
    )
    return logits


def markdown(content: dict[str, Any]) -> str:
    """A row for each of `CHOICES`, the mean over runs."""
    presets = list(content["runs"][0]["errors"][0])
    lines = [
        "| first glimpse | gathered features | " + " | ".join(f"`{name}`" for name in presets) + " |",
        "|---" * (2 + len(presets)) + "|",
    ]
    for i, votes in enumerate(CHOICES):
        mark = {VOTES: ", in the answer", VOTES_IN_TRAINING: ", in training"}.get(votes, "")
        errors = [run["errors"][i] for run in content["runs"]]
        cells = [percent(sum(e[name] for e in errors) / len(errors)) for name in presets]
        lines.append(f"| {votes.first_glimpse:g} | {votes.gathered:g}{mark} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
