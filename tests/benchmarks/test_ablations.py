"""Every variant differs from ours in what it says, and trains."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from benchmarks.compare import ablations
from benchmarks.compare.ablations import markdown
from benchmarks.compare.budget import recipe
from benchmarks.compare.variants import OURS, VARIANTS
from benchmarks.results import FOLDER
from tests.trainer.tiny import ALONE, TINY, bar_digits
from trainer.losses import Losses
from trainer.model import HEADS, GlimpseModel
from trainer.training.step import Trainer

SMALL = dataclasses.replace(TINY, steps=3, ramp=(0, 1))


def train_two_steps(name: str) -> tuple[Losses, dict[str, torch.Tensor]]:
    variant = VARIANTS[name]
    torch.set_num_threads(1)  # a fixture of the module comes before `one_thread`
    learner = Trainer(variant.change(SMALL), bar_digits(), seed=0, processes=ALONE, method=variant.method)
    losses = [Losses(*learner.advance()[0]) for _ in range(2)][-1]
    return losses, learner.model.state_dict()


@pytest.fixture(scope="module")
def ours() -> tuple[Losses, dict[str, torch.Tensor]]:
    return train_two_steps(OURS)


def test_ours_is_the_recipe_itself(ours: tuple[Losses, dict[str, torch.Tensor]]) -> None:
    plain = Trainer(SMALL, bar_digits(), seed=0, processes=ALONE)
    losses = [plain.advance()[0] for _ in range(2)][-1]
    assert losses == ours[0]
    assert all(torch.equal(value, ours[1][name]) for name, value in plain.model.state_dict().items())


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != OURS])
def test_a_variant_trains_and_becomes_another_model(
    name: str, ours: tuple[Losses, dict[str, torch.Tensor]]
) -> None:
    losses, weights = train_two_steps(name)
    assert all(torch.isfinite(value) for value in losses)
    assert all(value.isfinite().all() for value in weights.values())
    assert any(
        value.shape != ours[1][key].shape or not torch.equal(value, ours[1][key])
        for key, value in weights.items()
    )


def test_the_weights_of_the_two_terms_are_what_their_names_say() -> None:
    torch.manual_seed(0)
    model = GlimpseModel()
    scenes, labels = torch.rand(4, 1, 100, 100), torch.tensor([1, 2, 3, 4])
    output = model(scenes)
    ramp = torch.tensor(1.0)
    found = {
        name: Losses(*VARIANTS[name].method.losses(output, scenes, labels, TINY.weights, ramp, None))
        for name in (OURS, "no-variance", "no-retention", "variance-1")
    }
    totals = {name: losses.total.item() for name, losses in found.items()}
    losses = found[OURS]
    half = TINY.weights.tightness * losses.variance.item() / 2
    assert totals[OURS] - totals["no-variance"] == pytest.approx(half, abs=1e-5)
    assert totals["variance-1"] - totals[OURS] == pytest.approx(half, abs=1e-5)
    kept = TINY.weights.tightness * losses.foreground_retention.item()
    assert totals[OURS] - totals["no-retention"] == pytest.approx(kept, abs=1e-5)


def test_no_two_variants_share_a_run() -> None:
    seen = [(v.method.name, json.dumps(dataclasses.asdict(v.change(SMALL)))) for v in VARIANTS.values()]
    assert len(set(seen)) == len(seen)
    assert VARIANTS[OURS].method.heads == HEADS


def test_a_run_of_a_variant_with_another_number_is_not_taken_for_it() -> None:
    lighter = dataclasses.replace(VARIANTS["variance-1-4"], variance=0.2)
    assert VARIANTS["variance-1-4"].method.name == "glimpse, variance-1-4, variance 0.25"
    assert lighter.method.name == "glimpse, variance-1-4, variance 0.2"
    assert VARIANTS["no-retention"].method.name == "glimpse, no-retention, retention 0"


def test_with_every_layer_a_head_nothing_is_left_for_muon() -> None:
    learner = Trainer(SMALL, bar_digits(), seed=0, processes=ALONE, method=VARIANTS["adamw"].method)
    assert list(learner.state()["optimiser"]) == ["adamw"]


@pytest.mark.slow
def test_a_trial_runs_from_training_to_the_tables_and_leaves_the_results_alone(
    tmp_path: Path, bars: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = (OURS, "no-variance", "no-retention", "variance-1", "no-copy-paste", "adamw")
    monkeypatch.setattr(ablations, "VARIANTS", {name: VARIANTS[name] for name in kept})
    monkeypatch.setattr(ablations, "recipe", lambda *what: dataclasses.replace(recipe(*what), batch_size=8))
    before = {path.name: path.read_bytes() for path in FOLDER.glob("ablations.*")}
    arguments = ["--steps", "2", "--scenes", "10"]
    ablations.main([*arguments, "--only", "adamw"])
    assert "trained or loaded: adamw" in capsys.readouterr().out
    ablations.main(arguments)
    runs = tmp_path / "runs" / "ablations-2-steps"
    content = json.loads((runs / "ablations.json").read_text())["figures"]
    assert list(content["variants"]) == list(kept)
    assert markdown(content) in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in FOLDER.glob("ablations.*")} == before
