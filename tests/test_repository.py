"""What may lie in the repository: nothing of anybody's machine, nothing huge, no data set."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

import pytest

from service import __version__

ROOT = Path(__file__).resolve().parent.parent
LARGEST_FILE_BYTES = 5_000_000

# Put together here, so that this file does not hold what it forbids.
HOMES = ("work", "root", "home", "Users")
LOCAL_PATH = re.compile(
    rb"(?<![\w.~*<>-])/(?:" + "|".join(HOMES).encode() + rb")/[\w.]|" + rb"\b[A-Z]:" + rb"\\+Users\b"
)
REGISTRIES = tuple(
    ".".join(parts).encode()
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("download", "pytorch", "org"),
        ("pypi", "nvidia", "com"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("conda", "anaconda", "org"),
        ("crates", "io"),
        ("deb", "debian", "org"),
    )
)
IDX_OF_BYTES = b"\x00\x00\x08"
MNIST_NAME = re.compile(r"(?:train|t10k)-(?:images|labels)|-idx[13]-ubyte|mnist\.npz", re.IGNORECASE)


def repository_files() -> list[Path]:
    """All files that are tracked, or would be at the next `git add`."""
    if not (ROOT / ".git").exists():
        pytest.skip("this copy is not a git checkout, so what belongs to the repository is not known")
    git = [
        "git",
        "-c",
        f"safe.directory={ROOT}",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def faults(name: str, content: bytes) -> list[str]:
    """What is wrong with a file of that name and content, a line for each fault."""
    found = []
    if len(content) >= LARGEST_FILE_BYTES:
        found.append(f"{name}: {len(content):,} bytes, allowed are fewer than {LARGEST_FILE_BYTES:,}")
    found += [
        f"{name}: the local path {content[hit.start() : hit.start() + 40]!r}"
        for hit in LOCAL_PATH.finditer(content)
    ]
    found += [f"{name}: the registry {host.decode()}" for host in REGISTRIES if host in content]
    if MNIST_NAME.search(Path(name).name) or _is_idx(content):
        found.append(f"{name}: a file of MNIST, which is downloaded, never committed")
    return found


def _is_idx(content: bytes) -> bool:
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError):
            return False
    return content[:3] == IDX_OF_BYTES and content[3:4] in {b"\x01", b"\x03"}


def test_nothing_foreign_is_in_the_repository() -> None:
    found = [
        fault
        for path in repository_files()
        for fault in faults(path.relative_to(ROOT).as_posix(), path.read_bytes())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.md", b"see /" + b"work/main", "local path"),
        ("models/glimpse.onnx", b"\x08\x0a\x12\x40\x22/" + b"root/.venv/lib/torch/nn.py\x00", "local path"),
        ("a.py", b"open('/" + b"home/me/x')", "local path"),
        ("a.ps1", b"C:" + b"\\Users\\me", "local path"),
        ("requirements/a.txt", b"--index-url https://" + REGISTRIES[0] + b"/simple", "registry"),
        ("big.bin", bytes(LARGEST_FILE_BYTES), "bytes"),
        ("data/t10k-images-idx3-ubyte.gz", b"", "MNIST"),
        ("harmless.bin", IDX_OF_BYTES + b"\x03" + bytes(12), "MNIST"),
        ("harmless.gz", gzip.compress(IDX_OF_BYTES + b"\x01" + bytes(4), mtime=0), "MNIST"),
    ],
)
def test_a_fault_is_found(name: str, content: bytes, word: str) -> None:
    found = faults(name, content)
    assert len(found) == 1
    assert word in found[0]


@pytest.mark.parametrize(
    "content",
    [
        b"https://example.com/" + b"home/page",
        b"models/root/x",
        b"the /home page",
        b"\x1f\x8b not really gzip",
    ],
)
def test_the_harmless_is_left_alone(content: bytes) -> None:
    assert faults("a.md", content) == []


def test_one_version_everywhere() -> None:
    """`service.__version__` is the one place; pyproject.toml reads it there, these two are for readers."""
    citation = re.search(
        r"^version: *\"?([\w.]+)", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE
    )
    changes = re.search(
        r"^## \[([\w.]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert citation is not None
    assert changes is not None
    assert (citation[1], changes[1]) == (__version__, __version__)


def locked(name: str) -> dict[str, str]:
    """Package and version (with its marker) of every line of a hash-locked file."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([^\\\n]+?) *\\$", text, re.MULTILINE))


def test_the_two_locks_agree() -> None:
    """One environment serves and tests: what the service needs is in dev.txt, in the same version."""
    service, dev = locked("service.txt"), locked("dev.txt")
    assert service
    assert {name: dev.get(name) for name in service} == service
    assert "torch" not in dev


@pytest.mark.parametrize("name", ["gpu.txt", "trainer.txt"])
def test_the_locks_of_the_images_agree_with_the_one_that_was_tested(name: str) -> None:
    service, dev, image = locked("service.txt"), locked("dev.txt"), locked(name)
    assert {package: image.get(package) for package in service} == service
    assert {p: version for p, version in image.items() if not p.startswith("nvidia-")}.items() <= dev.items()
    assert "torch" not in image


def test_both_runtimes_are_of_one_version() -> None:
    service = locked("service.txt")
    assert service["onnxruntime"].split(" ")[0] == service["onnxruntime-gpu"].split(" ")[0]


@pytest.mark.parametrize("name", ["service.txt", "dev.txt", "gpu.txt", "trainer.txt"])
def test_every_locked_package_has_a_hash_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_gate_runs_the_two_targets_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.match(r"\s*(make|python|pip|pytest|ruff|mypy)\b", line)] == [
        "make check",
        "make test-all",
    ]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
