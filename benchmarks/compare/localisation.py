"""The method against others of its size, trained alike.

Every method is trained by `training.loop`, with the optimiser, schedule, averaging and scenes of the `cpu`
preset cut to 2,000 steps, into `runs/compare/METHOD-seedSEED`; a finished run is loaded, a killed one goes
on. `--only` trains some of them and stops there, so that several commands can share a machine. Then each is
measured on scenes of test digits. What a baseline's box depends on beside its network, such as CAM's
threshold, is chosen for each scene preset by the true boxes of held-out digits: in its favour, and not
allowed to our own method.

Other steps, scenes or draws make a trial, which stays under `runs/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from benchmarks.compare.baselines.cam import CAM, GRAD_CAM
from benchmarks.compare.baselines.draw_regression import DRAW_REGRESSION
from benchmarks.compare.baselines.ours import OURS
from benchmarks.compare.baselines.spatial_transformer import SPATIAL_TRANSFORMER
from benchmarks.compare.budget import RUNS, comparison_options, cost, made_at, recipe, run_folder, trained
from benchmarks.compare.localisation_figure import draw_figure
from benchmarks.compare.measure import best_setting, measure_draw
from benchmarks.documents import table
from benchmarks.results import publish
from scenes.digits import Digits
from scenes.mnist import load_digits
from scenes.presets import find_preset
from trainer.data.digits import mnist_digits
from trainer.evaluation.evaluate import COLUMNS
from trainer.evaluation.metrics import Figures

STEPS = 2_000
SCENES, DRAWS = 2_000, 5
CHOICE_SCENES = 2_000
PRESETS = ("article", "cluttered-100", "cluttered-60")
BASELINES = (OURS, CAM, GRAD_CAM, SPATIAL_TRANSFORMER, DRAW_REGRESSION)
METHODS = {baseline.method.name: baseline.method for baseline in BASELINES}
_SHOWN = COLUMNS[: len(Figures._fields)]


def main(arguments: Sequence[str]) -> None:
    """Train or load every method, measure, write the table and the figure."""
    options_of = comparison_options(__name__, __doc__, sorted(METHODS), STEPS, SCENES)
    options_of.add_argument("--draws", type=int, default=DRAWS)
    options = options_of.parse_args(arguments)
    torch.set_num_threads(options.threads)
    preset = recipe("compare", options.steps, options.precision)
    trial = (options.steps, options.scenes, options.draws) != (STEPS, SCENES, DRAWS)
    folder = RUNS / (f"compare-{options.steps}-steps" if options.steps != STEPS else "compare")
    digits, learnt_from = load_digits("test"), mnist_digits()
    models = {
        name: [
            trained(METHODS[name], preset, run_folder(folder, name, seed), seed, learnt_from)
            for seed in options.seeds
        ]
        for name in options.only or METHODS
    }
    if options.only:
        print(f"trained or loaded: {', '.join(models)}; without --only all are measured")
        return
    figures = measure_all(models, digits, learnt_from.held_out, scenes=options.scenes, draws=options.draws)
    content = {
        "steps": preset.steps,
        "precision": preset.precision,
        "scenes_seen": preset.steps * preset.batch_size,
        "seeds": options.seeds,
        "draws": options.draws,
        "scenes_per_draw": options.scenes,
        "made_at": {name: made_at(run_folder(folder, name, options.seeds[0])) for name in models},
        "cost": {name: cost(m[0]) for name, m in models.items()},
        "presets": figures,
    }
    picture = draw_figure([(b.title, b, models[b.method.name][0], figures) for b in BASELINES], digits)
    out = publish(
        "localisation",
        content,
        markdown(content),
        threads=options.threads,
        out=folder / "localisation.json" if trial else None,
    )
    picture.save(out / "localisation.png", optimize=True)


def measure_all(
    models: dict[str, list[nn.Module]], digits: Digits, held_out: Digits, *, scenes: int, draws: int
) -> dict[str, dict[str, Any]]:
    """For each scene preset and method: mean and deviation of each figure, and the settings chosen.

    The deviation is over training seeds where there are several, else over draws.
    """
    runs = sum(len(models[b.method.name]) for b in BASELINES)
    figures: dict[str, dict[str, Any]] = {}
    with tqdm(total=len(PRESETS) * runs * draws * scenes, unit="scene") as bar:
        for preset in map(find_preset, PRESETS):
            rows = figures.setdefault(preset.name, {})
            for baseline in BASELINES:
                found, chosen = [], []
                for model in models[baseline.method.name]:
                    setting = best_setting(
                        baseline, model, preset, held_out, scenes=min(scenes, CHOICE_SCENES)
                    )
                    chosen.append(baseline.settings[setting])
                    found.append(
                        [
                            measure_draw(
                                baseline, model, preset, digits, draw_number=d, scenes=scenes,
                                setting=setting, progress=bar.update,
                            )
                            for d in range(draws)
                        ]
                    )  # fmt: skip
                rows[baseline.title] = {**_summarise(found), "settings": chosen, "setting": baseline.setting}
    return figures


def _summarise(found: list[list[Figures]]) -> dict[str, float]:
    """Mean and standard deviation of each figure, of `[seeds][draws]` figures."""
    summary = {}
    for name in Figures._fields:
        values = np.array([[getattr(figures, name) for figures in draws] for draws in found])
        spread = values.mean(axis=1) if len(found) > 1 else values[0]
        summary[name] = round(float(values.mean()), 5)
        if len(spread) > 1:
            summary[f"{name}_sd"] = round(float(spread.std(ddof=1)), 5)
    return summary


def markdown(content: dict[str, Any]) -> str:
    """What all were trained with, a table for each scene preset, and one of what the methods cost."""
    seeds = ", ".join(map(str, content["seeds"]))
    over = "seeds" if len(content["seeds"]) > 1 else "draws"
    budget = (
        f"Each method was trained for {content['steps']:,} steps, {content['scenes_seen']:,} scenes, in "
        f"{content['precision']}, from seed {seeds}; deviations are over {over}."
    )
    parts = [budget]
    for preset, rows in content["presets"].items():
        shown = []
        for title, row in rows.items():
            chosen = ", ".join(f"{value:g}" for value in row.get("settings", []))
            cells = [column.show(row) for column in _SHOWN]
            shown.append([title, *cells, "–" if title == OURS.title or not chosen else chosen])
        parts.append(f"`{preset}`:")
        parts.append(table(["method", *(column.title for column in _SHOWN), "chosen"], shown))
    titles = {b.method.name: b.title for b in reversed(BASELINES)}
    costs = [
        (titles[name], f"{value['parameters']:,}", value["mflops"]) for name, value in content["cost"].items()
    ]
    parts.append(table(("method", "parameters", "MFLOPs per scene"), costs))
    return "\n\n".join(parts)
