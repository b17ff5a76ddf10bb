"""Compose and the engine behind it: found or not, and a project of its own that leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.support.processes import TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]
MAIN_FILE = ROOT / "docker-compose.yml"
GPU_FILE = ROOT / "docker" / "gpu.yml"
MNIST_FILE = ROOT / "docker" / "mnist-folder.yml"
NO_SETTINGS = Path(__file__).with_name("no-settings.env")
PROFILES = ("train", "observe")
COMMAND_S = 120
BUILD_S = 1800


def works(*command: str) -> bool:
    """Whether a command is there and succeeds."""
    try:
        return subprocess.run(command, capture_output=True, timeout=COMMAND_S, check=False).returncode == 0
    except FileNotFoundError:
        return False


def find_composes() -> list[tuple[str, ...]]:
    """The commands of Compose 2 and 1 that there are; neither needs an engine to read files."""
    commands: tuple[tuple[str, ...], ...] = (("docker", "compose"), ("docker-compose",))
    return [command for command in commands if works(*command, "version")]


def why_no_engine() -> str:
    """One clause that says why no container can be started; empty if one can."""
    if not find_composes():
        return "neither `docker compose` nor `docker-compose` is at hand"
    if not works("docker", "version", "--format", "{{.Server.Version}}"):
        return "no Docker engine answers (`docker version`)"
    return ""


def run(
    *command: str, environment: Mapping[str, str] | None = None, timeout_s: float = COMMAND_S
) -> subprocess.CompletedProcess[str]:
    """What a command said; one that fails, fails the test with all of it."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}\nended with status {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done


@dataclass
class Project:
    """The services of some compose files under a name of their own, without settings of whoever runs this."""

    name: str
    files: tuple[Path, ...]
    settings: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    profiles: tuple[str, ...] = PROFILES

    def compose(self, *arguments: str, timeout_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """Run a command of Compose."""
        command = self.command or find_composes()[0]
        ours = ("GLIMPSE_", "COMPOSE_", "PRESET", "SEED", "OMP_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        profiles = (word for profile in self.profiles for word in ("--profile", profile))
        files = (word for path in self.files for word in ("-f", str(path)))
        return run(
            *(*command, "-p", self.name, "--env-file", str(NO_SETTINGS), *files, *profiles, *arguments),
            environment={**kept, **self.settings},
            timeout_s=timeout_s,
        )

    def config(self) -> dict[str, Any]:
        """The files as Compose reads them together."""
        import yaml

        read: dict[str, Any] = yaml.safe_load(self.compose("config").stdout)
        return read

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        (found,) = json.loads(run("docker", "inspect", self.identity(service)).stdout)
        return dict(found)

    def identity(self, service: str) -> str:
        """The id of a service's container, running or not."""
        labels = (f"com.docker.compose.{name}" for name in (f"project={self.name}", f"service={service}"))
        filters = (word for label in labels for word in ("--filter", f"label={label}"))
        (found,) = run("docker", "ps", "--all", "--quiet", *filters).stdout.split()
        return found

    def inside(self, service: str, *command: str) -> str:
        """What a command says in a service's container, by the user that the service has."""
        return run("docker", "exec", self.identity(service), *command).stdout

    def log(self, service: str) -> str:
        """What a service's container has printed."""
        printed = run("docker", "logs", self.identity(service))
        return printed.stdout + printed.stderr

    def remove(self) -> None:
        """Stop and remove containers, networks and volumes; images stay, as a cache."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        for kind in ("container", "network", "volume"):
            everything = ("--all",) if kind == "container" else ()
            label = f"label=com.docker.compose.project={self.name}"
            left = run("docker", kind, "ls", "--quiet", *everything, "--filter", label).stdout
            assert left == "", f"{kind} left behind: {left}"


def health(project: Project) -> str:
    return str(project.inspect("glimpse")["State"]["Health"]["Status"])


def is_ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz", timeout=TIMEOUT_S).status_code == 200
    except httpx2.TransportError:
        return False
