"""`python -m benchmarks.choices`: four of the recipe's choices made anew, by a rule, on digits kept for it.

While the recipe was developed, figures that should have had no say led to four choices: boxes of held-out
digits to the attention network's float32, test figures to handwriting that is not varied where clutter is
whole digits, to the share of `cluttered-100`, and to cubic interpolation of varied handwriting. Here each is
made again by labels alone, on digits that had been trained upon but never been looked at:

1. The 55,000 training digits end with two sets of 5,000: CHOICE and FRESH. Every run here learns from the
   other 45,000 and from the 5,000 that all else in this project is developed on.
2. The recipe and each alternative (`choices_settings.py`) are trained for 5,000 steps from seeds 0 and 1, in
   bfloat16.
3. A run's figure is the sum of its label errors on `article` and `cluttered-100`, on 10,000 scenes each of
   CHOICE digits. The setting whose figure is lower in the mean over seeds is chosen, however little lower.
4. If an alternative is chosen, the recipe changes, and the committed model is trained anew.
5. The recipe's whole run, seed 0, is measured once, when all of this is decided, on FRESH digits.

This text was committed before any of the runs was made (1ae56b7). The fourth choice was found when the other
three had been made; it joined them, by the same rule, before its own runs were made. Later it was asked once
more, of whole runs, which decided against what is chosen here (`trainer/README.md`).

`--only` trains some settings and stops there; a finished run is loaded, a killed one goes on. `--keep` takes
the settings that the result file tells of as they stand there. Writes `benchmarks/results/choices.json`, and
with `--whole`, for the last point, `benchmarks/results/fresh.json`; and the tables into `trainer/README.md`.
With other steps or scenes it is a trial, which stays under `runs/`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.budget import RUNS, made_at, recipe, run_folder, trained
from benchmarks.choices_settings import OURS, SETTINGS, Setting
from benchmarks.documents import ROOT, percent
from benchmarks.figures import markdown_table, measure_presets
from benchmarks.results import FOLDER, load_result, sentence_or_exit, tell
from scenes.digits import Digits, make_digits
from scenes.mnist import load_digits
from trainer.digits import TrainingDigits
from trainer.evaluate import torch_predict
from trainer.memory import ask_for_huge_pages
from trainer.method import Method
from trainer.model import GlimpseModel
from trainer.presets import TrainingPreset, find_training_preset
from trainer.steps import own_method
from trainer.validation import label_errors

PAGE = ROOT / "trainer" / "README.md"
KEPT = 5_000
"""Digits of each of the two sets that are kept back."""
STEPS, SEEDS = 5_000, (0, 1)
SCENES = 10_000
DRAWS = 10
WHOLE = "whole"


@sentence_or_exit()
def main(arguments: list[str] | None = None) -> None:
    """Train or load every setting or the whole run, measure, write."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    folder = RUNS / (f"choices-{options.steps}-steps" if options.steps != STEPS else "choices")
    if options.only:
        for seed in SEEDS:
            for name in options.only:
                train_setting(SETTINGS[name], folder, options.steps, seed)
        print(f"trained or loaded: {', '.join(options.only)}; without --only all are measured")
    elif options.whole:
        if not _is_trial(options) and (FOLDER / "fresh.json").exists():
            raise ValueError(
                "--whole: the digits that were kept for the end have been looked at once (fresh.json); a "
                "second look is no fresh one. Move that file away to see what this recipe does on them"
            )
        whole = find_training_preset("cpu").steps if options.steps == STEPS else options.steps
        _tell("fresh", look_at_fresh(folder, whole, options.scenes), fresh_markdown, folder, options)
    else:
        kept = load_result("choices") if options.keep else None
        content = choose_all(folder, options.steps, options.scenes, kept)
        _tell("choices", content, markdown, folder, options)


def _is_trial(options: argparse.Namespace) -> bool:
    return (options.steps, options.scenes) != (STEPS, SCENES)


def _tell(
    name: str,
    content: dict[str, Any],
    table: Callable[[dict[str, Any]], str],
    folder: Path,
    options: argparse.Namespace,
) -> None:
    command = "python -m benchmarks.choices" + " --whole" * options.whole + " --keep" * options.keep
    tell(
        name, command, content, table(content),
        threads=options.threads, trial=folder if _is_trial(options) else None, page=PAGE,
    )  # fmt: skip


def choose_all(folder: Path, steps: int, scenes: int, kept: dict[str, Any] | None = None) -> dict[str, Any]:
    """The label errors of every setting, and what the rule chooses.

    `kept` is a result file's content: settings that it tells of are neither trained nor measured again.

    Raises:
        ValueError: `kept` was measured after other steps, or on other scenes or seeds.
    """
    asked = {"steps": steps, "seeds": list(SEEDS), "scenes": scenes}
    known = kept["figures"] if kept else {"label_errors": {}, "made_at": {}}
    if kept and (found := {key: known[key] for key in asked}) != asked:
        raise ValueError(f"--keep: expected results of {asked}, got {found}")
    figures, commits = {}, {}
    for name, setting in SETTINGS.items():
        if name in known["label_errors"]:
            figures[name], commits[name] = known["label_errors"][name], known["made_at"][name]
            continue
        figures[name] = [chosen_by(train_setting(setting, folder, steps, seed), scenes) for seed in SEEDS]
        commits[name] = made_at(run_folder(folder, name, SEEDS[0]))
    kept_from = {key: kept[key] for key in ("commit", "measured", "hardware")} if kept else {}
    return {
        **asked,
        "made_at": commits,
        "kept": {"settings": list(known["label_errors"]), **kept_from},
        "label_errors": figures,
        "chosen": choose(figures),
    }


def look_at_fresh(folder: Path, steps: int, scenes: int) -> dict[str, Any]:
    """The figures of the recipe's whole run on scenes of FRESH digits, boxes' among them."""
    model = _trained(own_method(), recipe(WHOLE, steps, "bfloat16"), folder, WHOLE, SEEDS[0])
    assert isinstance(model, GlimpseModel)
    return {
        "steps": steps,
        "made_at": made_at(run_folder(folder, WHOLE, SEEDS[0])),
        "draws": DRAWS,
        "scenes_per_draw": scenes,
        "presets": measure_presets(torch_predict(model), digits()[1], DRAWS, scenes, WHOLE),
    }


@cache
def digits() -> tuple[TrainingDigits, Digits]:
    """What every run here learns from and is chosen by, and the digits that are kept for the end."""
    known, developed_on = load_digits("train"), load_digits("validation")
    count = len(known.labels)

    def part(start: int, stop: int) -> Digits:
        return make_digits(known.images[start:stop], known.labels[start:stop])

    rest = make_digits(
        np.concatenate([known.images[: count - 2 * KEPT], developed_on.images]),
        np.concatenate([known.labels[: count - 2 * KEPT], developed_on.labels]),
    )
    choice, fresh = part(count - 2 * KEPT, count - KEPT), part(count - KEPT, count)
    source = f"MNIST training digits without {count - 2 * KEPT:,} to {count - 1:,} (CC BY-SA 3.0)"
    return TrainingDigits(rest, choice, source), fresh


def train_setting(setting: Setting, folder: Path, steps: int, seed: int) -> nn.Module:
    """The setting's averaged model, trained or loaded."""
    budget = setting.change(recipe("choice", steps, "bfloat16"))
    return _trained(setting.method, budget, folder, setting.name, seed)


def chosen_by(model: nn.Module, scenes: int) -> dict[str, float]:
    """All that a choice is made by: label errors on scenes of CHOICE digits."""
    return label_errors(model, digits()[0].held_out, device=torch.device("cpu"), scenes=scenes)


def choose(figures: dict[str, list[dict[str, float]]]) -> dict[str, str]:
    """The name of the chosen setting for each question: by labels alone, the lower sum in the mean.

    A tie keeps the recipe; sums are rounded, since those that are equal may differ in their last bit.
    """
    return {
        setting.question: min((OURS, setting.name), key=lambda name: round(mean_sum(figures[name]), 9))
        for setting in SETTINGS.values()
        if setting.question
    }


def mean_sum(runs: list[dict[str, float]]) -> float:
    """The sum of a run's label errors over scene presets, in the mean over training seeds."""
    return sum(sum(run.values()) for run in runs) / len(runs)


def markdown(content: dict[str, Any]) -> str:
    """The label errors of every setting as a Markdown table, and what is chosen."""
    figures = content["label_errors"]
    presets = list(figures[OURS][0])
    lines = [
        "| setting | " + " | ".join(f"`{preset}`" for preset in presets) + " | sum, mean | chosen |",
        "|---" * (len(presets) + 3) + "|",
    ]
    for name, runs in figures.items():
        setting = SETTINGS[name]
        cells = [", ".join(percent(run[preset]) for run in runs) for preset in presets]
        title, won = setting.title, ""
        if setting.question:
            title = f"{setting.question}: {title}"
            won = "yes" if content["chosen"][setting.question] == name else "no"
        lines.append(f"| {title} | {' | '.join(cells)} | {percent(mean_sum(runs))} | {won} |")
    return "\n".join(lines)


def fresh_markdown(content: dict[str, Any]) -> str:
    """The whole run's figures on FRESH digits as a Markdown table."""
    return markdown_table(content["presets"])


def _trained(method: Method, preset: TrainingPreset, folder: Path, name: str, seed: int) -> nn.Module:
    return trained(method, preset, run_folder(folder, name, seed), seed=seed, digits=digits()[0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choices", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", nargs="+", choices=list(SETTINGS), help="train these, measure nothing")
    what.add_argument(
        "--whole", action="store_true", help="the recipe's whole run, on digits kept for the end"
    )
    what.add_argument("--keep", action="store_true", help="the settings that the result file tells of")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training; others make a trial")
    parser.add_argument("--scenes", type=int, default=SCENES, help="in each draw; others make a trial")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    ask_for_huge_pages()
    main()
