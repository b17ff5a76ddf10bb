"""The origin of a run: code, command, machine and versions, so that its figures can be checked."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

_ROOT = Path(__file__).resolve().parents[2]


def commit() -> str:
    """The commit of the code, followed by "+changes" if tracked files differ from it.

    Without a git checkout, as in a container, GLIMPSE_COMMIT can name the commit.
    """
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("GLIMPSE_COMMIT") or "unknown: not a git checkout"


def command() -> str:
    """The command line, to be typed again. Absolute paths are shortened to their last part."""
    arguments = [Path(part).name if Path(part).is_absolute() else part for part in sys.argv[1:]]
    module = getattr(sys.modules["__main__"], "__spec__", None)  # none where a script was started
    program = ["-m", module.name.removesuffix(".__main__")] if module else [Path(sys.argv[0]).name]
    return shlex.join(["python", *program, *arguments])


def hardware(device: torch.device, threads: int) -> str:
    """Processor or accelerator, and how many threads were used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor_name()}, {threads} threads"


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that the figures depend on."""
    # torch itself also names the build, for the CPU or a version of CUDA; its package's data may not.
    others = {name: version(name) for name in ("numpy", "onnx", "onnxscript")}
    return {"python": platform.python_version(), "torch": str(torch.__version__), **others}


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the platform module knows a name
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=_ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
