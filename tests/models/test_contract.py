"""A model file and its sidecar belong together, or they are refused in a sentence that names both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.contract import (
    CLASSES,
    INPUTS,
    OUTPUTS,
    Contract,
    ContractError,
    Provenance,
    file_sha256,
    load_contract,
    sidecar_path,
    write_contract,
)

# SHA-256 of "abc", from FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def contract() -> Contract:
    return Contract(
        name="made up",
        version="1.2.3",
        file="model.onnx",
        sha256=ABC,
        classes=CLASSES,
        inputs=INPUTS,
        outputs=OUTPUTS,
        box_width_per_sigma=3.464102,
        parameters=12,
        mflops_per_scene=3.5,
        metrics={"article": {"error": 0.031, "error_sd": 0.002}},
        provenance=Provenance(
            commit="0" * 40,
            command="python -m trainer train --preset smoke",
            preset="smoke",
            seed=7,
            data="digits of Łódź",  # not ASCII
            scenes_seen=48,
            seconds=1.5,
            hardware="none",
            versions={"python": "3.11"},
            finished="2026-11-22T00:00:00+00:00",
        ),
    )


@pytest.fixture
def model(tmp_path: Path, contract: Contract) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"abc")
    write_contract(contract, path)
    return path


def rewrite(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(sidecar_path(model).read_text(encoding="utf-8"))
    change(content)
    sidecar_path(model).write_text(json.dumps(content), encoding="utf-8")


def test_what_was_written_is_read(model: Path, contract: Contract) -> None:
    assert load_contract(model) == contract
    assert sidecar_path(Path("models/glimpse.onnx")) == Path("models/glimpse.json")


def test_the_hash_is_sha_256(model: Path) -> None:
    assert file_sha256(model) == ABC


def test_another_file_is_refused_and_both_hashes_are_named(model: Path) -> None:
    model.write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with pytest.raises(
        ContractError, match=rf"model\.onnx has SHA-256 {empty}, .*model\.json describes {ABC}"
    ):
        load_contract(model)


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model.parent / name).unlink()
    with pytest.raises(ContractError, match=rf"{name} does not exist"):
        load_contract(model)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"name": "made up"}', b"\xff\xfe\x00", b"null"])
def test_a_sidecar_that_is_none_is_refused(model: Path, content: bytes) -> None:
    sidecar_path(model).write_bytes(content)
    with pytest.raises(ContractError, match=r"model\.json is not a sidecar contract"):
        load_contract(model)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.update(colour="red"), "colour"),
        (lambda content: content["provenance"].update(author="me"), r"provenance\.author"),
        (lambda content: content["inputs"][0].update(layout="NCHW"), r"inputs\.0\.layout"),
        (lambda content: content.pop("sha256"), "sha256"),
        (lambda content: content["outputs"][1].update(dtype="float64"), r"outputs\.1\.dtype"),
        (lambda content: content.update(parameters="many"), "parameters"),
    ],
)
def test_a_key_that_is_unknown_missing_or_wrong_is_named(
    model: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    rewrite(model, change)
    with pytest.raises(ContractError, match=rf"is not a sidecar contract.*\s.*{said}"):
        load_contract(model)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content["inputs"][0].update(name="picture"), "expected inputs .*'scene'.*'picture'"),
        (
            lambda content: content["inputs"][0].update(dtype="float32"),
            "expected inputs .*'uint8'.*'float32'",
        ),
        (lambda content: content["outputs"].pop(), "expected outputs .*'glimpse'.*got"),
        (lambda content: content["outputs"].reverse(), "expected outputs"),
        (lambda content: content["outputs"][4]["shape"].pop(), r"expected outputs .*28, 28\).*28\)"),
        (lambda content: content["outputs"][0].update(shape=["batch", 11]), "expected outputs .*10.*11"),
    ],
)
def test_other_tensors_are_refused(
    model: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    rewrite(model, change)
    with pytest.raises(ContractError, match=said):
        load_contract(model)


def test_a_contract_cannot_be_changed_by_accident(contract: Contract) -> None:
    with pytest.raises(ValueError, match="frozen"):
        contract.version = "2"  # type: ignore[misc]
