"""One recipe trained from several seeds, all reported, the median shipped.

The median is chosen by label errors on held-out training digits: neither test digits nor boxes have a say.
Each run's exported file is measured on test digits, and what was found is kept in the run's folder, so that
several shells can measure runs at the same time with `--measure`. `--ship` makes the median's file
`models/glimpse.onnx` and writes its figures into its sidecar, the result files and the documents.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.documents import MODEL_CARD, fill_in, percent, table
from benchmarks.model_card.figures import measure, publish_figures, record
from benchmarks.results import circumstances, parser, publish
from models.contract import MODEL_PATH, Contract, load_contract, sidecar_path
from scenes.digits import Digits
from scenes.mnist import load_digits
from trainer.export import export
from trainer.training.checkpoint import load_checkpoint, load_trained_model
from trainer.training.loop import recipe_changes
from trainer.training.validation import label_errors

_VALIDATION_SCENES = 10_000
"""Of each preset, two of each held-out digit; where seeds are level, `median_seed` has a rule."""


def main(arguments: Sequence[str]) -> None:
    """Export and measure each run, choose the median, ship it if asked to."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("runs", type=Path, nargs="+", help="folders of finished runs of one recipe")
    options_of.add_argument("--draws", type=int, default=3)
    options_of.add_argument("--scenes", type=int, default=10_000)
    options_of.add_argument("--threads", type=int, default=2)
    what = options_of.add_mutually_exclusive_group()
    what.add_argument("--ship", action="store_true", help="make the median the committed model")
    what.add_argument("--measure", action="store_true", help="measure these runs and write nothing else")
    options = options_of.parse_args(arguments)
    test, held_out = load_digits("test"), load_digits("validation")
    check_comparable(options.runs)
    runs = []
    for folder in options.runs:
        runs.append(measure_run(folder, test, held_out, options.draws, options.scenes, options.threads))
        print(f"{folder}: seed {runs[-1]['seed']}, label errors {runs[-1]['validation_error']}")
    if options.measure:
        return
    chosen = median_seed(runs)
    figures = {"shipped_seed": chosen, "runs": runs}
    print(f"{seeds_table(figures)}\nthe median is seed {chosen}")
    if options.ship:
        publish("seeds", figures, seeds_table(figures), pages=(MODEL_CARD,), threads=options.threads)
        position = next(i for i, run in enumerate(runs) if run["seed"] == chosen)
        _ship(options.runs[position] / MODEL_PATH.name, runs[position], options.threads)


def check_comparable(runs: list[Path]) -> None:
    """Make sure that runs are one recipe, of one commit, from different seeds.

    Raises:
        ValueError: they are not; the message names two that differ.
    """
    abouts = [load_checkpoint(run)["about"] for run in runs]
    for number, (run, about) in enumerate(zip(runs, abouts, strict=True)):
        changed = recipe_changes(abouts[0]["recipe"], about["recipe"])
        if changed:
            raise ValueError(f"expected runs of one recipe; {runs[0]} and {run}: {'; '.join(changed)}")
        if about["commit"] != abouts[0]["commit"]:  # not all that a recipe is stands in its fields
            raise ValueError(
                f"expected runs of one commit; {runs[0]} is of {abouts[0]['commit']}, "
                f"{run} of {about['commit']}"
            )
        if about["seed"] in [other["seed"] for other in abouts[:number]]:
            raise ValueError(f"expected runs of different seeds, but {run} has {about['seed']} again")


def measure_run(
    folder: Path, test: Digits, held_out: Digits, draws: int, scenes: int, threads: int
) -> dict[str, Any]:
    """What a finished run reached on held-out and on test digits, measured now or before (`measured.json`).

    The run is exported anew each time, which gives the same file as long as neither run nor code has changed.
    Of another file, or of other draws, it is measured again.
    """
    about = load_checkpoint(folder)["about"]
    onnx_path, kept_path = folder / MODEL_PATH.name, folder / "measured.json"
    export(folder, onnx_path, held_out)
    contract = load_contract(onnx_path)
    made = {
        "seed": contract.provenance.seed,
        "commit": contract.provenance.commit,
        "preset": about["preset"],
        "steps": about["recipe"]["steps"],
        "scenes_seen": contract.provenance.scenes_seen,
        "seconds": contract.provenance.seconds,
        "trained_on": contract.provenance.hardware,
    }
    wanted = {"model_sha256": contract.sha256, "draws": draws, "scenes_per_draw": scenes}
    kept: dict[str, Any] = json.loads(kept_path.read_text(encoding="utf-8")) if kept_path.is_file() else {}
    same = wanted.items() <= kept.get("test", {}).items()
    if same and kept.get("validation_scenes") == _VALIDATION_SCENES:
        return {**kept, **made}
    measured = {
        **made,
        "measured_under": kept["measured_under"] if same else circumstances(threads),
        "validation_scenes": _VALIDATION_SCENES,
        "validation_error": _validation_errors(folder, held_out, threads),
        "test": kept["test"] if same else measure(onnx_path, test, draws, scenes, threads),
    }
    kept_path.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return measured


def median_seed(runs: list[dict[str, Any]]) -> int:
    """The seed whose label errors on held-out training digits, summed over presets, are the median.

    Of an even number of runs it is the worse of the two in the middle; of level ones the higher seed counts
    as the worse, whatever the order in which they are given.
    """
    ordered = sorted(runs, key=lambda run: (round(sum(run["validation_error"].values()), 9), run["seed"]))
    seed: int = ordered[len(ordered) // 2]["seed"]
    return seed


def seeds_table(figures: dict[str, Any]) -> str:
    """What each seed reached on test digits as a Markdown table: error and mean IoU for each preset."""
    presets = list(figures["runs"][0]["test"]["presets"])
    rows = []
    for run in sorted(figures["runs"], key=lambda run: int(run["seed"])):
        shipped = ", shipped" if run["seed"] == figures["shipped_seed"] else ""
        reached = run["test"]["presets"].values()
        rows.append(
            [f"{run['seed']}{shipped}", *(f"{percent(r['error'])}, {r['mean_iou']:.3f}" for r in reached)]
        )
    return table(["seed", *(f"`{preset}`" for preset in presets)], rows)


def provenance_table(contract: Contract) -> str:
    """What made the committed model and what its box is, as a Markdown table, from its sidecar."""
    made = contract.provenance
    software = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    commits = ", ".join(commit[:12] for commit in made.commit.split(", "))
    rows = {
        "version": contract.version,
        "command": f"`{made.command}`, commit `{commits}`",
        **({"started from": _start(made.start)} if made.start else {}),
        "data": f"{made.data}; {made.scenes_seen:,} scenes, made while training",
        "time and hardware": f"{made.seconds / 60:.0f} minutes on {made.hardware}; {software}",
        "box": (
            f"sides of {contract.box_width_per_sigma:g} σ, and at both ends {contract.box_edge_per_side:g} "
            "of the longer side more"
        ),
    }
    return table(("how it was made", ""), rows.items())


def _start(start: dict[str, str]) -> str:
    """The model that training went on from, in words."""
    named = f"{start['model']}, commit `{start['commit'][:12]}`, " if "model" in start else ""
    return f"{named}`{start['file']}` with SHA-256 `{start['sha256'][:12]}…`"


def _validation_errors(run: Path, held_out: Digits, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    return label_errors(
        load_trained_model(run), held_out, device=torch.device("cpu"), scenes=_VALIDATION_SCENES
    )


def _ship(onnx_path: Path, run: dict[str, Any], threads: int) -> None:
    measured = run["test"]
    shutil.copyfile(onnx_path, MODEL_PATH)
    shutil.copyfile(sidecar_path(onnx_path), sidecar_path(MODEL_PATH))
    record(measured["presets"], MODEL_PATH)
    publish_figures(measured, threads, run["measured_under"])
    fill_in("provenance", provenance_table(load_contract(MODEL_PATH)), MODEL_CARD)
    print(f"shipped {onnx_path} as {MODEL_PATH.name}")
