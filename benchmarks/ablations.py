"""`python -m benchmarks.ablations`: our recipe with one thing changed at a time.

Each variant is trained for 2,000 steps, everything else as in the `cpu` preset, into
`runs/ablations/VARIANT-seedSEED`; a finished run is loaded, a killed one goes on. `--only` trains some
variants and stops there; `--without` leaves a group of them out. The figures are of scenes of held-out
training digits. The label's error is what choices are made by; the boxes' IoU is shown to tell what a term
does for the box, and nothing may be chosen by it.

Writes `benchmarks/results/ablations.json` and `ablations.png`, the error against the IoU, and the tables into
`benchmarks/README.md`. With fewer steps or scenes it is a trial, which stays under `runs/`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks.budget import RUNS, cost, made_at, recipe, run_folder, trained
from benchmarks.documents import percent
from benchmarks.results import sentence_or_exit, tell
from benchmarks.variants import (
    OURS,
    SAMPLES,
    SIZE,
    TERMS,
    TRAINING,
    VARIANCE,
    VARIANTS,
    WINDOW,
    Variant,
    our_settings,
)
from scenes.digits import Digits
from scenes.presets import find_preset
from trainer import provenance
from trainer.digits import TrainingDigits, mnist_digits
from trainer.evaluate import evaluate, summarise, torch_predict
from trainer.memory import ask_for_huge_pages
from trainer.model import GlimpseModel
from trainer.presets import Precision, TrainingPreset

STEPS = 2_000
SCENES, DRAWS = 2_000, 3
PRESETS = ("article", "cluttered-100")
_FIGURES = ("error", "mean_iou")
_FOUND = 0.5


@sentence_or_exit()
def main(arguments: list[str] | None = None) -> None:
    """Train or load every variant, measure, write tables and picture."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    trial = options.steps != STEPS or options.scenes != SCENES
    folder = RUNS / (f"ablations-{options.steps}-steps" if options.steps != STEPS else "ablations")
    digits = mnist_digits()
    budget = recipe("ablation", options.steps, options.precision)
    models = {
        name: [train_variant(VARIANTS[name], folder, budget, seed, digits) for seed in options.seeds]
        for name in options.only or [v.name for v in VARIANTS.values() if v.group not in options.without]
    }
    if options.only:
        print(f"trained or loaded: {', '.join(models)}; without --only all are measured")
        return
    content = {
        "steps": options.steps,
        "precision": options.precision,
        "seeds": options.seeds,
        "draws": DRAWS,
        "scenes_per_draw": options.scenes,
        "made_at": {name: made_at(run_folder(folder, name, options.seeds[0])) for name in models},
        "cost": {name: cost(trained_models[0]) for name, trained_models in models.items()},
        "variants": {
            name: [measure(model, digits.held_out, options.scenes) for model in trained_models]
            for name, trained_models in models.items()
        },
    }
    out = tell(
        "ablations", provenance.command(), content, markdown(content),
        threads=options.threads, trial=folder if trial else None,
    )  # fmt: skip
    draw_trade_off(content, out / "ablations.png")


def train_variant(
    variant: Variant, folder: Path, budget: TrainingPreset, seed: int, digits: TrainingDigits
) -> nn.Module:
    """The variant's averaged model, trained or loaded."""
    run = run_folder(folder, variant.name, seed)
    return trained(variant.method, variant.change(budget), run, seed=seed, digits=digits)


def measure(model: nn.Module, held_out: Digits, scenes: int) -> dict[str, dict[str, float]]:
    """Error and mean IoU on scenes of held-out digits, for each scene preset."""
    assert isinstance(model, GlimpseModel)
    found = {}
    for name in PRESETS:
        draws = evaluate(torch_predict(model), find_preset(name), held_out, draws=DRAWS, scenes=scenes)
        summary = summarise(draws)
        found[name] = {k: summary[k] for figure in _FIGURES for k in (figure, f"{figure}_sd")}
    return found


def average(runs: list[dict[str, dict[str, float]]], preset: str, figure: str) -> float:
    """A figure's mean over training seeds."""
    return sum(run[preset][figure] for run in runs) / len(runs)


def markdown(content: dict[str, Any]) -> str:
    """A table for each group of variants, ours first."""
    head = "| " + " | ".join(f"`{p}` {word}" for p in PRESETS for word in ("error", "mean IoU")) + " |"
    parts = []
    measured = [VARIANTS[name] for name in content["variants"]]
    for group in dict.fromkeys(v.group for v in measured if v.group):
        lines = [f"| {group} {head}", "|---" * (1 + 2 * len(PRESETS)) + "|"]
        ours = VARIANTS[OURS]
        for variant in (ours, *(v for v in measured if v.group == group)):
            runs = content["variants"][variant.name]
            cells = []
            for preset in PRESETS:
                cells.append(percent(average(runs, preset, "error")))
                cells.append(f"{average(runs, preset, 'mean_iou'):.3f}")
            title = our_settings(group) if variant is ours else variant.title
            if group == SIZE:
                of_it = content["cost"][variant.name]
                title += f": {of_it['parameters']:,} parameters, {of_it['mflops']} MFLOPs"
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def draw_trade_off(content: dict[str, Any], path: Path) -> None:
    """Error against IoU on `article`: the variance penalty's weight as a curve, the loss terms as points.

    Left are all of them, right those whose boxes find the digit.
    """
    preset = PRESETS[0]

    def point(variant: Variant) -> tuple[float, float]:
        runs = content["variants"][variant.name]
        return average(runs, preset, "mean_iou"), 100 * average(runs, preset, "error")

    weights = [
        VARIANTS["no-variance"],
        *(v for v in VARIANTS.values() if v.group == VARIANCE),
        VARIANTS[OURS],
    ]
    curve = sorted(weights, key=lambda variant: variant.variance)
    terms = [v for v in VARIANTS.values() if v.group == TERMS and v.name != "no-variance"]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, least_iou in zip(figure.subplots(1, 2), (0.0, _FOUND), strict=True):
        shown = {v.name: point(v) for v in (*curve, *terms) if point(v)[0] >= least_iou}
        line = [(v.variance, *shown[v.name]) for v in curve if v.name in shown]
        axes.plot([iou for _, iou, _ in line], [error for *_, error in line], "o-", label="variance penalty")
        for weight, *place in line:
            axes.annotate(f"{weight:.2g}", place, xytext=(4, 4), textcoords="offset points")
        for number, variant in enumerate(terms, start=1):
            if variant.name in shown:
                axes.plot(*shown[variant.name], "s", color=f"C{number}", label=variant.title)
        axes.set(xlabel=f"mean IoU, {preset}, held-out digits", ylabel="error, %")
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), help="train these and measure nothing")
    parser.add_argument(
        "--without",
        nargs="+",
        choices=[SAMPLES, WINDOW, SIZE, TRAINING],
        default=[],
        help="leave these groups out, of the tables as well",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="of training; fewer make a trial")
    parser.add_argument("--scenes", type=int, default=SCENES, help="in each draw; fewer make a trial")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    ask_for_huge_pages()
    main()
