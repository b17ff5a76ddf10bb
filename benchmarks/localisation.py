"""`python -m benchmarks.localisation`: our method against others of its size, trained alike.

Every method is trained by `trainer.train`, with the optimiser, schedule, averaging and scenes of the `cpu`
preset cut to 2,000 steps, into `runs/compare/METHOD-seedSEED`; a finished run is loaded, a killed one goes
on. `--only` trains some of them and stops there, so that several commands can share a machine. Then each is
measured on scenes of test digits. What a baseline's box depends on beside its network, such as CAM's
threshold, is chosen for each scene preset by the true boxes of held-out digits: in its favour, and not
allowed to our own method.

Writes `benchmarks/results/localisation.json` and `localisation.png`, and the table into
`benchmarks/README.md`. With fewer steps or scenes it is a trial, which stays under `runs/`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from benchmarks.baselines import oracle
from benchmarks.baselines.cam import CAM, GRAD_CAM
from benchmarks.baselines.draw_regression import DRAW_REGRESSION
from benchmarks.baselines.ours import OURS
from benchmarks.baselines.spatial_transformer import SPATIAL_TRANSFORMER
from benchmarks.budget import RUNS, cost, made_at, recipe, run_folder, trained
from benchmarks.localisation_figure import draw_figure
from benchmarks.measure import best_setting, draw_scenes, measure_draw
from benchmarks.results import sentence_or_exit, tell
from scenes.digits import Digits
from scenes.mnist import load_digits
from scenes.presets import find_preset
from trainer import provenance
from trainer.digits import TrainingDigits, mnist_digits
from trainer.evaluate import COLUMNS, DRAW_SEEDS
from trainer.memory import ask_for_huge_pages
from trainer.metrics import Figures
from trainer.presets import Precision, TrainingPreset

STEPS = 2_000
SCENES, DRAWS = 2_000, 5
CHOICE_SCENES = 2_000
PRESETS = ("article", "cluttered-100", "cluttered-60")
BASELINES = (OURS, CAM, GRAD_CAM, SPATIAL_TRANSFORMER, DRAW_REGRESSION)
METHODS = {baseline.method.name: baseline.method for baseline in BASELINES} | {oracle.NAME: oracle.METHOD}
ORACLE_TITLE = "oracle at the true box (reference only, uses boxes)"
_SHOWN = COLUMNS[: len(Figures._fields)]


@sentence_or_exit()
def main(arguments: list[str] | None = None) -> None:
    """Train or load every method, measure, write the table and the figure."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    preset = recipe("compare", options.steps, options.precision)
    trial = (options.steps, options.scenes, options.draws) != (STEPS, SCENES, DRAWS)
    folder = RUNS / (f"compare-{options.steps}-steps" if options.steps != STEPS else "compare")
    digits, learnt_from = load_digits("test"), mnist_digits()
    models = {
        name: [train_one(name, preset, folder, seed, learnt_from) for seed in options.seeds]
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
        "cost": {name: cost(m[0], 2 if name == oracle.NAME else 1) for name, m in models.items()},
        "presets": figures,
    }
    picture = draw_figure([(b.title, b, models[b.method.name][0], figures) for b in BASELINES], digits)
    out = tell(
        "localisation", provenance.command(), content, markdown(content),
        threads=options.threads, trial=folder if trial else None,
    )  # fmt: skip
    picture.save(out / "localisation.png", optimize=True)


def train_one(
    name: str, preset: TrainingPreset, folder: Path, seed: int, digits: TrainingDigits
) -> nn.Module:
    """The method of that name, trained or loaded."""
    return trained(METHODS[name], preset, run_folder(folder, name, seed), seed=seed, digits=digits)


def measure_all(
    models: dict[str, list[nn.Module]], digits: Digits, held_out: Digits, *, scenes: int, draws: int
) -> dict[str, dict[str, Any]]:
    """For each scene preset and method: mean and deviation of each figure, and the settings chosen.

    The deviation is over training seeds where there are several, else over draws.
    """
    runs = sum(len(models[b.method.name]) for b in BASELINES) + len(models[oracle.NAME])
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
            rows[ORACLE_TITLE] = _summarise(
                [
                    [_oracle_draw(model, preset.name, digits, d, scenes, bar) for d in range(draws)]
                    for model in models[oracle.NAME]
                ]
            )
    return figures


def _oracle_draw(
    model: nn.Module, preset: str, digits: Digits, number: int, scenes: int, bar: Any
) -> dict[str, float]:
    wrong = []
    for batch in draw_scenes(find_preset(preset), digits, seed=number * DRAW_SEEDS, scenes=scenes):
        wrong.append(oracle.name_with_box(model, batch.pictures, batch.boxes) != batch.labels)
        bar.update(len(batch.labels))
    return {"error": float(np.concatenate(wrong).mean())}


def _summarise(found: list[list[Any]]) -> dict[str, float]:
    """Mean and standard deviation of each figure, of `[seeds][draws]` figures."""
    summary = {}
    rows = [[f if isinstance(f, dict) else f._asdict() for f in draws] for draws in found]
    for name in rows[0][0]:
        values = np.array([[row[name] for row in draws] for draws in rows])
        spread = values.mean(axis=1) if len(rows) > 1 else values[0]
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
        lines = [
            f"`{preset}`:\n",
            "| method | " + " | ".join(column.title for column in _SHOWN) + " | chosen |",
            "|---" * (len(_SHOWN) + 2) + "|",
        ]
        for title, row in rows.items():
            cells = [column.show(row) if column.name in row else "–" for column in _SHOWN]
            chosen = ", ".join(f"{value:g}" for value in row.get("settings", [])) or "–"
            lines.append(
                f"| {title} | " + " | ".join(cells) + f" | {'–' if title == OURS.title else chosen} |"
            )
        parts.append("\n".join(lines))
    lines = ["| method | parameters | MFLOPs per scene |", "|---|---|---|"]
    titles = {oracle.NAME: "oracle, without what finds the box"}
    titles |= {b.method.name: b.title for b in reversed(BASELINES)}
    lines += [
        f"| {titles[name]} | {value['parameters']:,} | {value['mflops']} |"
        for name, value in content["cost"].items()
    ]
    parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.localisation", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(METHODS), help="train these and measure nothing")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="of training; fewer make a trial")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--scenes", type=int, default=SCENES, help="in each draw; fewer make a trial")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    ask_for_huge_pages()
    main()
