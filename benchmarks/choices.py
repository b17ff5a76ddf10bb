"""`python -m benchmarks.choices`: three of the recipe's choices made anew, by a rule, on digits kept for it.

While the recipe was developed, figures that should have had no say led to three choices: boxes of held-out
digits to the attention network's float32, test figures to handwriting that is not varied where clutter is
whole digits, and to the share of `cluttered-100`. Here each is made again by labels alone, on digits that had
been trained upon but never been looked at:

1. The 55,000 training digits end with two sets of 5,000: CHOICE and FRESH. Every run here learns from the
   other 45,000 and from the 5,000 that all else in this project is developed on.
2. The recipe and each alternative (`SETTINGS`) are trained for 5,000 steps from seeds 0 and 1, in bfloat16.
3. A run's figure is the sum of its label errors on `article` and `cluttered-100`, on 10,000 scenes each of
   CHOICE digits. The setting whose figure is lower in the mean over seeds is chosen, however little lower.
4. If an alternative is chosen, the recipe changes, and the committed model is trained anew.
5. The recipe's whole run, seed 0, is measured once, when all of this is decided, on FRESH digits.

This text was committed before any of the runs was made. `--only` trains some settings and stops there; a
finished run is loaded, a killed one goes on. Writes `benchmarks/results/choices.json` and the tables into
`trainer/README.md`. With fewer steps or scenes it is a trial, which stays under `runs/`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.budget import RUNS, made_at, recipe, run_folder, trained
from benchmarks.documents import ROOT, fill_in
from benchmarks.figures import markdown_table
from benchmarks.results import FOLDER, digits_or_exit, write_result
from scenes.digits import Digits, digits_like, make_digits
from scenes.presets import PRESETS, Preset
from trainer import provenance
from trainer.data import TrainingScenes
from trainer.evaluate import evaluate, summarise, torch_predict
from trainer.losses import compute_losses
from trainer.method import OWN_METHOD, Method
from trainer.model import HEADS, GlimpseModel
from trainer.presets import TrainingPreset, find_training_preset
from trainer.train import TrainingDigits, own_method
from trainer.validation import label_errors

PAGE = ROOT / "trainer" / "README.md"
KEPT = 5_000
"""Digits of each of the two sets that are kept back."""
STEPS, SEEDS = 5_000, (0, 1)
SCENES = 10_000
DRAWS = 10
FORMER_SHARES = {"article": 0.34, "wide": 0.13, "cluttered-100": 0.38, "cluttered-60": 0.10, "clean": 0.05}
OURS, WHOLE = "ours", "whole"


class InHalf(nn.Module):
    """A part of the attention network that follows the recipe's bfloat16 in training."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        """As the part itself, to float32."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.training):
            y: Tensor = self.part(x)
        return y.float()


class VariedEverywhere(TrainingScenes):
    """Training scenes of varied handwriting, also where clutter is whole digits, and these likewise."""

    def _vary_handwriting(self, number: int) -> None:
        before = self._varied
        super()._vary_handwriting(number)
        if self._varied is not before:
            varied = make_digits(self._varied.images.cpu().numpy(), self._varied.labels.cpu().numpy())
            self._varied = digits_like(self._varied.images, varied)

    def _digits_for(self, preset: Preset) -> Digits:
        del preset
        return self._varied


@dataclass(frozen=True)
class Setting:
    """An answer to one of the three questions, or the recipe as it is."""

    name: str
    question: str
    title: str
    method: Method
    change: Callable[[TrainingPreset], TrainingPreset] = lambda preset: preset


def _half_precision_attention() -> GlimpseModel:
    """Ours, with the attention network's convolutions in bfloat16; heat map, places and heads are not."""
    model = GlimpseModel()
    network = model.attention_network
    for name in ("fine", "coarse", "lateral", "upward"):
        setattr(network, name, InHalf(getattr(network, name)))
    return model


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(OURS, "", "the recipe as it is", own_method()),
        Setting(
            "attention-in-bfloat16",
            "the attention network's convolutions",
            "bfloat16 instead of float32",
            Method(f"{OWN_METHOD}, attention in bfloat16", _half_precision_attention, compute_losses, HEADS),
        ),
        Setting(
            "varied-everywhere",
            "handwriting where clutter is whole digits",
            "varied instead of as it is",
            Method(f"{OWN_METHOD}, varied everywhere", GlimpseModel, compute_losses, HEADS, VariedEverywhere),
        ),
        Setting(
            "former-shares",
            "shares of the scenes",
            "`cluttered-100` 38 %, `article` 34 % instead of 47 % and 28 %",
            own_method(),
            lambda preset: dataclasses.replace(preset, mixture=FORMER_SHARES),
        ),
    )
}


def main(arguments: list[str] | None = None) -> None:
    """Train or load every setting and the whole run, measure, write."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    trial = (options.steps, options.scenes) != (STEPS, SCENES)
    folder = RUNS / (f"choices-{options.steps}-steps" if options.steps != STEPS else "choices")
    names = options.only or [*SETTINGS, WHOLE]
    settings = [name for name in names if name != WHOLE]
    for seed in options.seeds:
        for name in settings:
            train_setting(SETTINGS[name], folder, options.steps, seed)
    whole = None
    if WHOLE in names:
        steps = options.steps if trial else find_training_preset("cpu").steps
        whole = _trained(own_method(), recipe(WHOLE, steps, "bfloat16"), folder, WHOLE, SEEDS[0])
    if options.only or whole is None:
        print(f"trained or loaded: {', '.join(names)}; without --only all are measured")
        return
    figures = {
        name: [
            chosen_by(train_setting(setting, folder, options.steps, seed), options.scenes)
            for seed in options.seeds
        ]
        for name, setting in SETTINGS.items()
    }
    content = {
        "steps": options.steps,
        "seeds": options.seeds,
        "made_at": {n: made_at(run_folder(folder, n, options.seeds[0])) for n in SETTINGS},
        "label_errors": figures,
        "chosen": choose(figures),
        "whole": {
            "made_at": made_at(run_folder(folder, WHOLE, SEEDS[0])),
            "choice_digits": chosen_by(whole, options.scenes),
            "scenes_per_draw": options.scenes,
            "draws": options.draws,
            "fresh_digits": measure(whole, options.scenes, options.draws),
        },
    }
    print(markdown(content))
    if trial:
        (folder / "choices.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print(f"a trial: wrote {folder / 'choices.json'}; {FOLDER.name} stays as it is")
        return
    print(f"wrote {write_result('choices', provenance.command(), content, threads=options.threads)}")
    fill_in("choices", markdown(content), PAGE)


@cache
def digits() -> tuple[TrainingDigits, Digits]:
    """What every run here learns from and is chosen by, and the digits that are kept for the end."""
    known, developed_on = digits_or_exit("train"), digits_or_exit("validation")
    count = len(known.labels)

    def part(start: int, stop: int) -> Digits:
        return make_digits(known.images[start:stop], known.labels[start:stop])

    rest = make_digits(
        np.concatenate([known.images[: count - 2 * KEPT], developed_on.images]),
        np.concatenate([known.labels[: count - 2 * KEPT], developed_on.labels]),
    )
    choice, fresh = part(count - 2 * KEPT, count - KEPT), part(count - KEPT, count)
    return TrainingDigits(rest, choice), fresh


def train_setting(setting: Setting, folder: Path, steps: int, seed: int) -> nn.Module:
    """The setting's averaged model, trained or loaded."""
    budget = setting.change(recipe("choice", steps, "bfloat16"))
    return _trained(setting.method, budget, folder, setting.name, seed)


def chosen_by(model: nn.Module, scenes: int) -> dict[str, float]:
    """All that a choice is made by: label errors on scenes of CHOICE digits."""
    return label_errors(model, digits()[0].held_out, device=torch.device("cpu"), scenes=scenes)


def choose(figures: dict[str, list[dict[str, float]]]) -> dict[str, str]:
    """The name of the chosen setting for each question: by labels alone, the lower sum in the mean."""
    return {
        setting.question: min((OURS, setting.name), key=lambda name: mean_sum(figures[name]))
        for setting in SETTINGS.values()
        if setting.question
    }


def mean_sum(runs: list[dict[str, float]]) -> float:
    """The sum of a run's label errors over scene presets, in the mean over training seeds."""
    return sum(sum(run.values()) for run in runs) / len(runs)


def measure(model: nn.Module, scenes: int, draws: int) -> dict[str, dict[str, float]]:
    """Figures, boxes' among them, on scenes of FRESH digits, for each scene preset."""
    assert isinstance(model, GlimpseModel)
    predict, fresh = torch_predict(model), digits()[1]
    return {
        preset.name: summarise(evaluate(predict, preset, fresh, draws=draws, scenes=scenes))
        for preset in PRESETS.values()
    }


def markdown(content: dict[str, Any]) -> str:
    """The choices as a Markdown table, and below it the whole run's figures on FRESH digits."""
    figures = content["label_errors"]
    presets = list(figures[OURS][0])
    lines = [
        "| setting | " + " | ".join(f"`{preset}`" for preset in presets) + " | sum, mean | chosen |",
        "|---" * (len(presets) + 3) + "|",
    ]
    for name, runs in figures.items():
        setting = SETTINGS[name]
        title = f"{setting.question}: {setting.title}" if setting.question else setting.title
        cells = [", ".join(_percent(run[preset]) for run in runs) for preset in presets]
        won = {True: "yes", False: "no"}.get(content["chosen"].get(setting.question) == name)
        lines.append(
            f"| {title} | {' | '.join(cells)} | {_percent(mean_sum(runs))} | "
            f"{won if setting.question else ''} |"
        )
    return "\n".join(lines) + f"\n\n{markdown_table(content['whole']['fresh_digits'])}"


def _trained(method: Method, preset: TrainingPreset, folder: Path, name: str, seed: int) -> nn.Module:
    return trained(method, preset, run_folder(folder, name, seed), seed=seed, digits=digits()[0])


def _percent(value: float) -> str:
    return f"{value:.2%}".replace("%", " %")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choices", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*SETTINGS, WHOLE], help="train these, measure nothing")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=STEPS, help="of training; others make a trial")
    parser.add_argument("--scenes", type=int, default=SCENES, help="in each draw; others make a trial")
    parser.add_argument("--draws", type=int, default=DRAWS, help="on digits kept for the end")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
