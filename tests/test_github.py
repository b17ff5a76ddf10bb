"""What the repository tells GitHub and pre-commit: it parses, and agrees with the rest of the project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
HOOKS = ROOT / ".pre-commit-config.yaml"


def read(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict), f"{path.name} holds no mapping"
    return content


def jobs(workflow: dict[Any, Any]) -> list[dict[Any, Any]]:
    found: list[dict[Any, Any]] = list(workflow["jobs"].values())
    return found


def commands() -> list[str]:
    """Every line that a step of any workflow runs."""
    return [
        line.strip()
        for path in WORKFLOWS
        for job in jobs(read(path))
        for step in job["steps"]
        for line in step.get("run", "").splitlines()
    ]


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    return set(phony[1].split())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_triggers_narrow_rights_and_an_end(path: Path) -> None:
    workflow = read(path)
    assert workflow[True], "YAML 1.1 reads the key `on` as true"
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 360 for job in jobs(workflow))


def test_the_gate_runs_on_push_and_pull_request_on_the_pythons_that_the_package_promises() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "classifiers"
    ]
    promised = re.findall(r"Python :: (3\.\d+)$", "\n".join(classifiers), re.MULTILINE)
    gate = read(ROOT / ".github" / "workflows" / "gate.yml")
    assert {"push", "pull_request"} <= set(gate[True])
    (job,) = jobs(gate)
    assert job["strategy"]["matrix"]["python"] == promised
    assert ".ci/run" in [step.get("run") for step in job["steps"]]


def test_marks_that_workflows_name_are_registered() -> None:
    pytest_options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
    registered = {mark.partition(":")[0] for mark in pytest_options["ini_options"]["markers"]}
    named = {mark for line in commands() for mark in re.findall(r"-m (\w+)", line)}
    assert "slow" in named <= registered


def test_one_workflow_runs_every_week() -> None:
    crons = [entry["cron"] for path in WORKFLOWS for entry in (read(path)[True] or {}).get("schedule", ())]
    assert len(crons) == 1
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", crons[0])


def test_every_command_is_the_gate_or_a_target_of_the_makefile() -> None:
    assert commands()
    for command in commands():
        found = re.fullmatch(r"\.ci/run|make ([a-z-]+)(?: \w+=(?:'[^']*'|\S+))*", command)
        assert found, command
        assert found[1] is None or found[1] in targets(), command


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_whole(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in asked}) == len(asked) > 0
    assert all(part["type"] in {"input", "textarea"} and part["attributes"]["label"] for part in asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


def test_pre_commit_runs_the_ruff_that_the_gate_runs() -> None:
    locked = re.search(
        r"^ruff==(\S+)", (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert locked
    repositories = {entry["repo"].rpartition("/")[2]: entry for entry in read(HOOKS)["repos"]}
    ruff = repositories["ruff-pre-commit"]
    assert ruff["rev"] == f"v{locked[1]}"
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
