"""The recipe with one thing changed at a time.

Each variant is trained for 2,000 steps, everything else as in the `cpu` preset, into
`runs/ablations/VARIANT-seedSEED`; a finished run is loaded, a killed one goes on. `--only` trains some
variants and stops. Figures are of scenes of held-out training digits. Choices are made by the label's error;
the boxes' IoU tells what a term does for the box, and nothing may be chosen by it. Other steps or scenes make
a trial, which stays under `runs/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.compare.budget import RUNS, comparison_options, made_at, recipe, run_folder, trained
from benchmarks.compare.variants import OURS, VARIANCE, VARIANTS, Variant
from benchmarks.documents import percent, table
from benchmarks.results import publish
from scenes.digits import Digits
from scenes.presets import find_preset
from trainer.data.digits import mnist_digits
from trainer.evaluation.evaluate import evaluate, summarise, torch_predict
from trainer.model import GlimpseModel

STEPS = 2_000
SCENES, DRAWS = 2_000, 3
PRESETS = ("article", "cluttered-100")
_FIGURES = ("error", "mean_iou")


def main(arguments: Sequence[str]) -> None:
    """Train or load every variant, measure, write the tables."""
    options = comparison_options(__name__, __doc__, list(VARIANTS), STEPS, SCENES).parse_args(arguments)
    torch.set_num_threads(options.threads)
    trial = options.steps != STEPS or options.scenes != SCENES
    folder = RUNS / (f"ablations-{options.steps}-steps" if options.steps != STEPS else "ablations")
    digits = mnist_digits()
    budget = recipe("ablation", options.steps, options.precision)
    models = {
        name: [
            trained(variant.method, variant.change(budget), run_folder(folder, name, seed), seed, digits)
            for seed in options.seeds
        ]
        for name, variant in VARIANTS.items()
        if name in (options.only or VARIANTS)
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
        "variants": {
            name: [measure(model, digits.held_out, options.scenes) for model in trained_models]
            for name, trained_models in models.items()
        },
    }
    publish(
        "ablations",
        content,
        markdown(content),
        threads=options.threads,
        out=folder / "ablations.json" if trial else None,
    )


def measure(model: nn.Module, held_out: Digits, scenes: int) -> dict[str, dict[str, float]]:
    """Error and mean IoU on scenes of held-out digits, for each scene preset."""
    assert isinstance(model, GlimpseModel)
    found = {}
    for name in PRESETS:
        draws = evaluate(torch_predict(model), find_preset(name), held_out, draws=DRAWS, scenes=scenes)
        summary = summarise(draws)
        found[name] = {k: summary[k] for figure in _FIGURES for k in (figure, f"{figure}_sd")}
    return found


def average(content: dict[str, Any], variant: Variant, preset: str, figure: str) -> float:
    """A figure's mean over training seeds."""
    runs = content["variants"][variant.name]
    return float(sum(run[preset][figure] for run in runs) / len(runs))


def markdown(content: dict[str, Any]) -> str:
    """A table for each group of variants, ours first."""
    head = [f"`{preset}` {word}" for preset in PRESETS for word in ("error", "mean IoU")]
    measured = [VARIANTS[name] for name in content["variants"]]
    tables = []
    for group in dict.fromkeys(variant.group for variant in measured if variant.group):
        rows = []
        for variant in (VARIANTS[OURS], *(one for one in measured if one.group == group)):
            cells = [variant.title]
            if variant.name == OURS and group == VARIANCE:
                cells = ["½ (ours)"]
            for preset in PRESETS:
                cells.append(percent(average(content, variant, preset, "error")))
                cells.append(f"{average(content, variant, preset, 'mean_iou'):.3f}")
            rows.append(cells)
        tables.append(table([group, *head], rows))
    return "\n\n".join(tables)
