"""A run's report: one self-contained HTML page, and its pictures as PNG files beside it."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scenes.digits import Digits
from scenes.presets import Preset
from trainer.evaluation.report_data import (
    Answers,
    WatchedScene,
    ask,
    figures_by,
    read_metrics,
    watched_over_time,
    what_went_wrong,
    worst,
)
from trainer.training.checkpoint import load_checkpoint, load_trained_model

_WORST = 24
_BOX, _TRUTH = "#ff9628", "#46d26e"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
img { max-width: 100% }
table { border-collapse: collapse }
td, th { padding: .2rem .8rem; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd }
code { overflow-wrap: anywhere }
"""


def write_report(run: Path, preset: Preset, digits: Digits, held_out: Digits, *, scenes: int) -> Path:
    """Write `RUN/report/report.html` and its pictures; returns the page's path.

    Args:
        run: a run's folder, finished or not.
        preset: the scenes to measure.
        digits: the digits of these scenes.
        held_out: the digits of the scenes that the run watched.
        scenes: how many scenes to measure.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: it is a run of another method.
    """
    model, state = load_trained_model(run), load_checkpoint(run)
    curves = read_metrics(run)
    answers = ask(model, preset, digits, scenes)
    watched = watched_over_time(run, held_out)
    folder = run / "report"
    folder.mkdir(exist_ok=True)
    parts = [_summary(state, answers, preset)]

    def show(title: str, name: str, words: str, figure: Figure) -> None:
        parts.append(f"<h2>{html.escape(title)}</h2><p>{words}</p>{_save(figure, folder / f'{name}.png')}")

    show(
        "Curves",
        "curves",
        "As training went on. The validation error is of held-out digits.",
        _curves(curves),
    )
    if watched:
        words = (
            "The same scenes of held-out digits at several steps: found box orange, true box green; below, "
        )
        show("Learning where to look", "looks", words + "the attention and the glimpse.", _watched(watched))
    else:
        parts.append("<h2>Learning where to look</h2><p>This run kept no looks at held-out scenes.</p>")
    show("Boxes", "iou", "IoU of the found with the true box.", _iou(answers))
    show(
        "What makes a scene hard",
        "hard",
        "Error and mean IoU against the digit's size, the pieces of clutter and the noise.",
        _hard(answers),
    )
    show(
        "Confusion",
        "confusion",
        "Scenes by true and by named class, the right ones left out.",
        _confusion(answers),
    )
    chosen = worst(answers, _WORST)
    words = (
        "First the surest wrong labels, then the lowest IoU: scene with found (orange) and true (green) box."
    )
    show("The worst scenes", "worst", words, _worst(answers, chosen))
    page = folder / "report.html"
    title = html.escape(f"Glimpse: {run.name}")
    page.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1>{''.join(parts)}</html>\n",
        encoding="utf-8",
    )
    return page


def _summary(state: dict[str, Any], answers: Answers, preset: Preset) -> str:
    about, recipe = state["about"], state["about"]["recipe"]
    rows = {
        "step": f"{state['step']:,} of {recipe['steps']:,}, {state['step'] * recipe['batch_size']:,} scenes",
        "time": f"{state['seconds'] / 60:.1f} minutes",
        "error": f"{1 - answers.right.mean():.2%} of {len(answers.iou):,} scenes, preset {preset.name}",
        "mean IoU": f"{answers.iou.mean():.3f}, at least ½ in {np.mean(answers.iou >= 0.5):.2%}",
        **{
            name: html.escape(str(about[name]))
            for name in ("preset", "seed", "command", "commit", "hardware")
        },
        "versions": html.escape(", ".join(f"{k} {v}" for k, v in about["versions"].items())),
        "recipe": f"<code>{html.escape(json.dumps(recipe, ensure_ascii=False))}</code>",
    }
    cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"


def _save(figure: Figure, path: Path) -> str:
    """Write a figure as a PNG file; returns it as an image tag with the data inside."""
    with io.BytesIO() as buffer:
        figure.savefig(buffer, dpi=100)
        content = buffer.getvalue()
    path.write_bytes(content)
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{path.stem}" src="data:image/png;base64,{data}">'


def _curves(curves: dict[str, tuple[list[int], list[float]]]) -> Figure:
    """A panel for each metric, errors first."""
    names = sorted(curves, key=lambda name: (not name.startswith("validation_error"), name != "total"))
    rows = -(-len(names) // 3)
    figure = Figure(figsize=(12, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, 3, squeeze=False)
    for ax, name in zip(axes.flat, names, strict=False):
        steps, values = curves[name]
        ax.plot(steps, values, marker="." if len(steps) == 1 else None)
        ax.set_title(name, fontsize="medium")
        if name.startswith("validation_error") and min(values) > 0:
            ax.set_yscale("log")
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    return figure


def _watched(watched: list[list[WatchedScene]]) -> Figure:
    """Two rows for each step, scene with boxes and attention, then glimpse; a column for each scene."""
    columns = len(watched[0])
    figure = Figure(figsize=(1.7 * columns, 3.5 * len(watched)), layout="constrained")
    axes = figure.subplots(2 * len(watched), columns, squeeze=False)
    for row, step in enumerate(watched):
        for column, look in enumerate(step):
            ax, below = axes[2 * row, column], axes[2 * row + 1, column]
            ax.imshow(look.picture, cmap="gray", extent=(0, 100, 100, 0))
            ax.imshow(
                look.attention_map, cmap="hot", alpha=0.45 * look.attention_map, extent=(0, 100, 100, 0)
            )
            _outline(ax, look.true_box, _TRUTH)
            _outline(ax, look.box, _BOX)
            _bare(ax)
            below.imshow(look.glimpse, cmap="gray", vmin=0, vmax=1)
            _bare(below)
        axes[2 * row, 0].set_ylabel(f"step {step[0].step:,}")
    return figure


def _iou(answers: Answers) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    ax = figure.subplots()
    ax.hist(answers.iou, bins=np.linspace(0, 1, 41).tolist(), color="#4878a8")
    ax.axvline(
        float(answers.iou.mean()), color="black", linestyle=":", label=f"mean {answers.iou.mean():.3f}"
    )
    ax.set(xlabel="IoU", ylabel="scenes")
    ax.legend()
    return figure


def _hard(answers: Answers) -> Figure:
    """Error and IoU against each parameter that this preset varies."""
    parameters = answers.parameters
    pieces = parameters.clutter_count + parameters.crop_index.shape[1]
    varied = {
        "size of the canvas, px": parameters.size_px,
        "pieces of clutter": pieces.astype(np.float32),
        "noise, σ": parameters.noise_sigma,
    }
    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.subplots(2, len(varied))
    for column, (name, values) in enumerate(varied.items()):
        middles, errors, ious, _ = zip(*figures_by(values, answers), strict=True)
        axes[0, column].plot(middles, [100 * error for error in errors], "o-", color="#c04040")
        axes[1, column].plot(middles, ious, "o-", color="#4878a8")
        axes[0, column].set(ylabel="error, %", ylim=(0, None))
        axes[1, column].set(xlabel=name, ylabel="mean IoU", ylim=(0, 1))
    return figure


def _confusion(answers: Answers) -> Figure:
    counts = np.zeros((10, 10), np.int64)
    np.add.at(counts, (answers.parameters.label, answers.predicted), 1)
    wrong = counts * (1 - np.eye(10, dtype=np.int64))
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    ax = figure.subplots()
    ax.imshow(wrong, cmap="Reds")
    for row, column in zip(*np.nonzero(counts), strict=True):
        right = row == column
        ax.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            color="#999" if right else "black",
            fontsize="small",
        )
    ax.set(xlabel="named", ylabel="true", xticks=range(10), yticks=range(10))
    return figure


def _worst(answers: Answers, chosen: list[int]) -> Figure:
    columns = 8
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(14, 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        _bare(ax)
        ax.set_frame_on(False)
    for ax, i in zip(axes.flat, chosen, strict=False):
        ax.imshow(answers.pictures[i], cmap="gray", vmin=0, vmax=255, extent=(0, 100, 100, 0))
        _outline(ax, answers.true_boxes[i], _TRUTH)
        _outline(ax, answers.boxes[i], _BOX)
        words = what_went_wrong(answers, i).replace(", ", "\n")
        sure = answers.probabilities[i].max()
        ax.set_title(f"{words}\nIoU {answers.iou[i]:.2f}, {sure:.0%} sure", fontsize=7)
    return figure


def _outline(ax: Axes, box: Any, colour: str) -> None:
    x, y, width, height = (float(value) for value in box)
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=1.2))
    ax.set(xlim=(0, 100), ylim=(100, 0))


def _bare(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
