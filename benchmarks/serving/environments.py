"""An environment for each peer, made once: their requirements exclude each other and ours."""

from __future__ import annotations

import shutil
import subprocess
import venv
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import onnxruntime

FOLDER = Path(__file__).resolve().parents[1] / ".venvs"
_STAMP = "requirements.txt"


class EnvironmentMissingError(RuntimeError):
    """A peer cannot be installed; the message says what the installer said."""


def common_requirements() -> list[str]:
    """What all run the model with, in the very versions of this environment."""
    # onnxruntime's builds for CPU and GPU are of one source, and the CPU one is smaller.
    return [
        f"onnxruntime=={onnxruntime.__version__}",
        *(f"{name}=={version(name)}" for name in ("pillow", "orjson")),
        "numpy",
    ]


def make_environment(name: str, requirements: Sequence[str], folder: Path = FOLDER) -> Path:
    """The interpreter of a peer's environment, which is made where it is missing or of other requirements.

    Raises:
        EnvironmentMissingError: pip fails.
    """
    place = folder / name
    python = place / "bin" / "python"
    wanted = "\n".join([*requirements, *common_requirements()]) + "\n"
    stamp = place / _STAMP
    if python.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True, symlinks=True)
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *wanted.split()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise EnvironmentMissingError(" ".join(lines[-2:])[:300] or f"pip ended with {done.returncode}")
    stamp.write_text(wanted, encoding="utf-8")
    return python
