"""The exported file computes what the trained model does, tells nothing of the machine, and is described."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from models.contract import INPUTS, OUTPUTS, load_contract, sidecar_path
from scenes.draw import draw
from scenes.presets import find_preset
from tests.trainer.tiny import ROOT, Pictures, bar_digits
from trainer import export as exporting
from trainer.errors import ParityError
from trainer.evaluation.evaluate import Answer, Predict, make_pictures
from trainer.export import Parity, check_parity, count_mflops, export
from trainer.training.checkpoint import load_checkpoint, load_trained_model, save_checkpoint


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Parity]:
    path = tmp_path_factory.mktemp("export") / "deeper" / "glimpse.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "PARITY_SCENES", 70)
        return path, export(tiny_run, path, bar_digits("validation"))


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    digits = bar_digits()
    return make_pictures(draw(find_preset("article"), np.arange(64), digits), digits)


def test_parity_is_asked_for_on_1000_scenes_at_four_batches() -> None:
    assert exporting.PARITY_SCENES == 1000
    assert exporting.PARITY_BATCHES == (1, 2, 7, 64)


def test_an_export_is_checked_against_torch(exported: tuple[Path, Parity]) -> None:
    path, parity = exported
    assert 0 <= parity.probability <= 1e-4
    assert 0 <= parity.box_px <= 0.05
    assert [found.name for found in sorted(path.parent.iterdir())] == ["glimpse.json", "glimpse.onnx"]


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_it_answers_batches_of_any_size_as_torch_does(
    exported: tuple[Path, Parity], tiny_run: Path, pictures: Pictures, batch: int
) -> None:
    session = onnxruntime.InferenceSession(exported[0], providers=["CPUExecutionProvider"])
    found = session.run([tensor.name for tensor in OUTPUTS], {INPUTS[0].name: pictures[:batch]})
    with torch.inference_mode():
        expected = load_trained_model(tiny_run).predict(torch.from_numpy(pictures[:batch]))
    for tensor, ours, theirs in zip(OUTPUTS, found, expected, strict=True):
        assert ours.shape == (batch, *tensor.shape[1:])
        assert ours.dtype == np.dtype(tensor.dtype)
        tolerance = {"scene px": 0.05, "probability": 1e-4}.get(tensor.unit, 2e-3)
        assert np.abs(ours - theirs.numpy()).max() <= tolerance, tensor.name


def test_the_file_has_the_contracts_tensors(exported: tuple[Path, Parity]) -> None:
    session = onnxruntime.InferenceSession(exported[0], providers=["CPUExecutionProvider"])
    for promised, found in ((INPUTS, session.get_inputs()), (OUTPUTS, session.get_outputs())):
        assert [tensor.name for tensor in promised] == [node.name for node in found]
        for tensor, node in zip(promised, found, strict=True):
            assert node.type == {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[tensor.dtype]
            assert [d if isinstance(d, int) else "any" for d in node.shape] == ["any", *tensor.shape[1:]]


def test_no_local_path_is_in_the_file(exported: tuple[Path, Parity], tiny_run: Path) -> None:
    content = exported[0].read_bytes()
    for text in (str(ROOT), str(exported[0].parent), str(tiny_run), str(Path.home()), "site-packages", ".py"):
        assert text.encode() not in content, text


def test_the_sidecar_describes_the_run(exported: tuple[Path, Parity], tiny_run: Path) -> None:
    contract = load_contract(exported[0])
    model = load_trained_model(tiny_run)
    assert (contract.file, contract.classes) == ("glimpse.onnx", tuple("0123456789"))
    assert contract.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert contract.mflops_per_scene == pytest.approx(count_mflops(model), abs=0.01)
    assert contract.box_width_per_sigma == pytest.approx(12**0.5, abs=1e-6)
    assert contract.box_edge_per_side == 1 / 80
    assert contract.metrics == {}  # nothing is claimed that was not measured
    origin = contract.provenance
    assert (origin.preset, origin.seed, origin.scenes_seen) == ("smoke", 0, 6 * 8)
    assert origin.versions["torch"] == torch.__version__
    assert origin.seconds > 0
    digits = "MNIST training digits 0 to 59 (CC BY-SA 3.0), drawn letters, doodles and shapes"  # 60 of bars
    assert origin.data.startswith(f"{digits}; scenes {{")


def off_by(probability: float, box_px: float, present: float = 0.0) -> Predict:
    """A model that is off in the last of the scenes only."""

    def predict(pictures: Pictures) -> Answer:
        probabilities = np.full((len(pictures), 10), 0.1, np.float32)
        boxes = np.full((len(pictures), 4), 30, np.float32)
        last = pictures[:, 0, 0, 0] == 255
        probabilities[last, 9] -= probability
        boxes[last, 2] += box_px
        return Answer(probabilities, boxes, np.where(last, 0.5 + present, 0.5).astype(np.float32))

    return predict


@pytest.fixture
def marked() -> Pictures:
    pictures = np.zeros((10, 1, 100, 100), np.uint8)
    pictures[-1, 0, 0, 0] = 255
    return pictures


def test_parity_tells_the_largest_differences(marked: Pictures) -> None:
    parity = check_parity(off_by(0.5e-4, 0.03), off_by(0, 0), marked)
    assert parity.probability == pytest.approx(0.5e-4, rel=1e-2)
    assert parity.box_px == pytest.approx(0.03, rel=1e-3)
    # That there is a digit is a probability as well: the larger difference is told.
    parity = check_parity(off_by(0.2e-4, 0.03, 0.7e-4), off_by(0, 0), marked)
    assert parity.probability == pytest.approx(0.7e-4, rel=1e-2)


@pytest.mark.parametrize(
    ("probability", "box_px", "present", "said"),
    [
        (2e-4, 0, 0, "0.0002 and 0 px"),
        (0, -0.06, 0, "0 and 0.06 px"),
        (0, 0, -2e-4, "0.0002 and 0 px"),
    ],
)
def test_a_file_that_computes_something_else_is_refused(
    marked: Pictures, probability: float, box_px: float, present: float, said: str
) -> None:
    with pytest.raises(ParityError, match=f"expected at most 0.0001 .* 0.05 px .*{said}"):
        check_parity(off_by(probability, box_px, present), off_by(0, 0), marked)


NAN = float("nan")


@pytest.mark.parametrize(("probability", "box_px", "present"), [(NAN, 0, 0), (0, NAN, 0), (0, 0, NAN)])
def test_a_file_that_computes_no_numbers_is_refused(
    marked: Pictures, probability: float, box_px: float, present: float
) -> None:
    with pytest.raises(ParityError, match="nan"):
        check_parity(off_by(probability, box_px, present), off_by(0, 0), marked)


def test_a_difference_at_one_batch_size_alone_is_found(marked: Pictures) -> None:
    """As of a graph into which the exporter has baked a batch."""

    def breaks_at_seven(pictures: Pictures) -> Answer:
        return off_by(0, 1.0 if len(pictures) == 7 else 0)(pictures)

    marked[:, 0, 0, 0] = 255
    with pytest.raises(ParityError, match="1 px"):
        check_parity(breaks_at_seven, off_by(0, 0), marked)


def test_a_refused_export_leaves_the_former_files(
    exported: tuple[Path, Parity], tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "glimpse.onnx"
    out.write_bytes(b"former")
    sidecar_path(out).write_text("former")

    def copy(model: object, path: Path) -> None:
        path.write_bytes(exported[0].read_bytes())

    def opened(path: Path, threads: int) -> None:
        assert path != out

    monkeypatch.setattr(exporting, "_write_graph", copy)
    monkeypatch.setattr(exporting, "open_session", opened)
    monkeypatch.setattr(exporting, "onnx_predict", lambda session: off_by(0, 0))
    monkeypatch.setattr(exporting, "PARITY_SCENES", 3)
    with pytest.raises(ParityError):
        export(tiny_run, out, bar_digits())
    assert out.read_bytes() == b"former"
    assert sidecar_path(out).read_text() == "former"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_run_that_has_not_come_to_its_end_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    state = load_checkpoint(tiny_run)
    save_checkpoint({**state, "step": 3}, tmp_path)
    with pytest.raises(ValueError, match="expected a finished run of 6 steps, got one that stands at step 3"):
        export(tmp_path, tmp_path / "model.onnx", bar_digits())
    assert not list(tmp_path.glob("*.onnx"))
