"""How good the digits are that `models/digits.onnx` writes.

A classifier that was trained on real digits judges them; another one is trained on 60,000 of them alone and
tested on MNIST's test digits. Writes the sheet of digits as well. What takes minutes is kept in
`runs/generator-benchmark`: the judge, the distances among training digits, and the figures of each file, by
its hash.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from PIL import Image

from benchmarks.documents import MODEL_CARD, percent, table
from benchmarks.model_card.classifier import (
    cached_classifier,
    digit_features,
    name_digits,
    train_classifier,
)
from benchmarks.model_card.likeness import distances_among, nearest_distances, precision_recall
from benchmarks.results import FOLDER, parser, publish
from models.digits_contract import DIGITS_PATH, LATENT_SIZE, load_digits_contract
from scenes.digits import CLASS_COUNT, Digits, make_digits
from scenes.mnist import load_digits
from scenes.styles import style_latents

DIGITS = 10_000
CAS_DIGITS = 60_000
CACHE = Path("runs") / "generator-benchmark"
SHEET_COLUMNS = 20
_JUDGE_SEED, _STUDENT_SEED = 0, 1

Images = npt.NDArray[np.uint8]


def main(arguments: Sequence[str]) -> None:
    """Measure one or more generators, print a Markdown table, write the result file and the sheet."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--also", type=Path, nargs="*", default=[], help="other files, to compare with")
    options_of.add_argument("--threads", type=int, default=1)
    options = options_of.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    training = [load_digits("train"), load_digits("validation")]
    images = np.concatenate([part.images for part in training])
    labels = np.concatenate([part.labels for part in training])
    test = load_digits("test")
    judge = cached_classifier(images, labels, seed=_JUDGE_SEED, path=CACHE / "judge.pt")
    test_features = digit_features(judge, test.images)
    among = _cached_distances(images, CACHE / "distances.npy")
    threshold = float(np.quantile(among, 0.01))

    def measure(path: Path) -> dict[str, Any]:
        bank = generate_digits(path, DIGITS)
        named = name_digits(judge, bank.images)
        likeness = precision_recall(test_features, digit_features(judge, bank.images))
        more = generate_digits(path, CAS_DIGITS, first_style=DIGITS)
        student = train_classifier(more.images, more.labels, seed=_STUDENT_SEED, title=f"student of {path}")
        return {
            "model_sha256": load_digits_contract(path).sha256,
            "bytes": path.stat().st_size,
            "one_digit_ms": _milliseconds(path),
            "fidelity": float(np.mean(named == bank.labels)),
            "fidelity_by_class": [
                round(float(np.mean(named[bank.labels == c] == c)), 4) for c in range(CLASS_COUNT)
            ],
            "cas": float(np.mean(name_digits(student, test.images) == test.labels)),
            **likeness._asdict(),
            "no_copy": float(np.mean(nearest_distances(bank.images, images) > threshold)),
        }

    chosen = np.random.default_rng(0).permutation(len(images))[: len(test.images)]
    real = {
        "fidelity": float(np.mean(name_digits(judge, test.images) == test.labels)),
        **precision_recall(test_features, digit_features(judge, images[chosen]))._asdict(),
        "no_copy": float(np.mean(nearest_distances(test.images, images) > threshold)),
    }
    generators = {_name(path): _cached_figures(path, measure) for path in [DIGITS_PATH, *options.also]}
    content = {
        "digits": DIGITS,
        "cas_digits": CAS_DIGITS,
        "judge_error": 1 - real["fidelity"],
        "copy_distance": threshold,
        "real": real,
        "generators": generators,
    }
    command = " ".join(["python -m benchmarks generator", *(f"--also {path}" for path in options.also)])
    shown = markdown_table(real, generators)
    publish("generator", content, shown, pages=(MODEL_CARD,), threads=options.threads, command=command)
    sheet = FOLDER / "digits-sheet.png"
    draw_sheet(generate_digits(DIGITS_PATH, CLASS_COUNT * SHEET_COLUMNS)).save(sheet, optimize=True)
    print(f"wrote {sheet}")


def generate_digits(path: Path, count: int, first_style: int = 0) -> Digits:
    """Digits of all classes in turn, in styles `first_style`, `first_style` + 1 and so on."""
    session = _session(path)
    latents = style_latents(first_style + np.arange(count), LATENT_SIZE)
    classes = np.arange(count) % CLASS_COUNT
    chunks = [slice(start, start + 500) for start in range(0, count, 500)]
    parts = [session.run(["picture"], {"digit": classes[c], "latent": latents[c]})[0] for c in chunks]
    return make_digits(np.concatenate(parts), classes)


def draw_sheet(digits: Digits) -> Image.Image:
    """A row of digits for each class, dark on light as ink on paper is."""
    rows = digits.images.reshape(SHEET_COLUMNS, CLASS_COUNT, 28, 28).transpose(1, 2, 0, 3)
    sheet = Image.fromarray(255 - rows.reshape(CLASS_COUNT * 28, SHEET_COLUMNS * 28))
    return sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.BICUBIC)


def markdown_table(real: dict[str, Any], generators: dict[str, dict[str, Any]]) -> str:
    """The figures as a Markdown table, one row for each generator and one for real digits."""
    rows = [("real digits", *_likeness(real, ""), "", "")]
    for name, found in generators.items():
        sizes = f"{found['bytes'] / 1e6:.2f} MB", f"{found['one_digit_ms']:.2f} ms"
        rows.append((f"`{name}`", *_likeness(found, percent(found["cas"])), *sizes))
    return table(("", "named as asked", "CAS", "precision", "recall", "no copy", "file", "one digit"), rows)


def _likeness(found: dict[str, Any], cas: str) -> tuple[str, ...]:
    measured = f"{found['precision']:.3f}", f"{found['recall']:.3f}", percent(found["no_copy"])
    return percent(found["fidelity"]), cas, *measured


def _name(path: Path) -> str:
    return load_digits_contract(path).provenance.preset


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _milliseconds(path: Path, runs: int = 1000) -> float:
    """The median time of one digit on one thread."""
    session = _session(path)
    latents = style_latents(np.arange(runs), LATENT_SIZE)
    taken = []
    for run in range(runs):
        start = time.perf_counter()
        session.run(["picture"], {"digit": np.array([run % CLASS_COUNT]), "latent": latents[run : run + 1]})
        taken.append(time.perf_counter() - start)
    return round(float(np.median(taken)) * 1e3, 3)


def _cached_figures(path: Path, measure: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    kept = CACHE / f"{load_digits_contract(path).sha256}.json"
    if not kept.is_file():
        kept.write_text(json.dumps(measure(path)), encoding="utf-8")
    figures: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return figures


def _cached_distances(images: Images, path: Path) -> npt.NDArray[np.float32]:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, distances_among(images))
    found: npt.NDArray[np.float32] = np.load(path)
    return found
