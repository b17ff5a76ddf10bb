"""scenes → trainer → models → service: the imports point the way the data flows, and no other."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import imported_modules

ROOT = Path(__file__).resolve().parent.parent

# What of `models` the stages around it may import.
MODELS = frozenset(f"models.{name}" for name in ("contract", "digits_contract", "files", "pictures", "task"))
# What a folder may import from the other ones: a whole folder, or one module of it.
MAY_IMPORT = {
    "scenes": frozenset[str](),
    "models": frozenset[str](),
    "trainer": frozenset({"scenes", *MODELS}),
    "service": frozenset({"scenes", *MODELS}),
    # The command knows the programs that it calls, and nothing inside them.
    "glimpse": frozenset(
        {
            *("scenes.__main__", "trainer.__main__"),
            *("service.__main__", "service.bulk.command", "service.__version__"),
        }
    ),
}
OURS = frozenset({*MAY_IMPORT, "benchmarks", "tests"})

# The rooms of a package, floor by floor from the top: a room is a module or a folder. A module may import its
# own room and those of the floors below.
FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "trainer": (
        ("__main__",),
        ("handwriting",),
        ("export",),
        ("evaluation",),
        ("foreground",),
        ("training",),
        ("data", "losses"),
        ("folders",),
        ("model",),
        ("attention",),
        ("runtime",),
        ("errors",),
    ),
    "service": (
        ("__main__",),
        ("ray_serve",),
        ("app",),
        ("openapi", "docs_page"),
        ("v2", "page", "synthesis", "bulk", "http.server"),
        ("http",),
        ("monitoring",),
        ("inference",),
        ("pictures",),
        ("schemas", "settings"),
        ("queries",),
    ),
}


def offences(root: Path) -> list[str]:
    """Each import that breaks the rule, as `file:line imports name`."""
    found = []
    for folder, allowed in MAY_IMPORT.items():
        for source in sorted((root / folder).rglob("*.py")):
            for line, name in imported_modules(source, root):
                stage = name.partition(".")[0]
                if stage == folder or stage not in OURS:
                    continue
                if not any(name == entry or name.startswith(entry + ".") for entry in allowed):
                    found.append(f"{source.relative_to(root)}:{line} imports {name}")
    return found


def room_of(name: str, package: str) -> str:
    """The room that a dotted name of a package lies in; empty for what `__init__` holds."""
    rooms = [room for floor in FLOORS[package] for room in floor]
    inside = name.removeprefix(f"{package}.")
    return max((room for room in rooms if f"{inside}.".startswith(f"{room}.")), key=len, default="")


def climbs(root: Path, package: str) -> list[str]:
    """Each import of a package that goes up, or to another room of the floor, as `file:line imports name`."""
    floor_of = {room: number for number, floor in enumerate(FLOORS[package]) for room in floor}
    found = []
    for source in sorted((root / package).rglob("*.py")):
        room = room_of(".".join(source.relative_to(root).with_suffix("").parts), package)
        for line, name in imported_modules(source, root):
            imported = room_of(name, package)
            if not imported or imported == room or not name.startswith(f"{package}."):
                continue
            if not room or floor_of[imported] <= floor_of[room]:
                found.append(f"{source.relative_to(root)}:{line} imports {name}")
    return found


def circles(root: Path, package: str) -> list[str]:
    """Each module of a package that imports itself by way of others."""
    modules = {
        ".".join(source.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): source
        for source in (root / package).rglob("*.py")
    }
    imports = {
        module: {
            known
            for _, name in imported_modules(source, root)
            for known in (name, name.rpartition(".")[0])
            if known in modules and known != module
        }
        for module, source in modules.items()
    }

    def reached(module: str) -> set[str]:
        found: set[str] = set()
        left = [module]
        while left:
            new = imports[left.pop()] - found
            found |= new
            left += new
        return found

    return sorted(module for module in modules if module in reached(module))


def test_imports_follow_the_data() -> None:
    assert offences(ROOT) == []


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_every_module_has_a_room_and_imports_only_what_lies_below(package: str) -> None:
    homeless = [
        source.name
        for source in (ROOT / package).rglob("*.py")
        if source != ROOT / package / "__init__.py"
        and not room_of(".".join(source.relative_to(ROOT).with_suffix("").parts), package)
    ]
    assert homeless == []
    assert climbs(ROOT, package) == []
    assert circles(ROOT, package) == []


@pytest.mark.parametrize(
    ("path", "line", "name"),
    [
        ("service/http/a.py", "from service.v2.schema import refer", "service.v2.schema.refer"),
        ("service/http/a.py", "from service.http.server import protocol", "service.http.server.protocol"),
        ("service/v2/a.py", "def late():\n    import service.page.files", "service.page.files"),
        ("service/pictures/a.py", "from ..inference.answer import png", "service.inference.answer.png"),
        ("service/settings.py", "from service import schemas", "service.schemas"),
        ("service/__init__.py", "from service.app import create_app", "service.app.create_app"),
    ],
)
def test_an_import_that_climbs_is_found(tmp_path: Path, path: str, line: str, name: str) -> None:
    source = tmp_path / path
    source.parent.mkdir(parents=True)
    source.write_text(line + "\n", encoding="utf-8")
    assert climbs(tmp_path, "service") == [f"{path}:{line.count(chr(10)) + 1} imports {name}"]


def test_an_import_that_goes_down_or_stays_is_allowed_and_a_circle_is_found(tmp_path: Path) -> None:
    files = {
        "service/__init__.py": "",
        "service/app.py": "from service import __version__\nimport service.http.a, scenes\n",
        "service/http/a.py": "from service.http.b import x\nfrom service.queries import y\n",
        "service/http/b.py": "from service.http import c\n",
        "service/http/c.py": "def late():\n    from service.http.a import z\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert climbs(tmp_path, "service") == []
    assert circles(tmp_path, "service") == ["service.http.a", "service.http.b", "service.http.c"]


def public_names(*folders: str) -> dict[str, list[str]]:
    """Classes and functions of modules below some folders, with the files that define one of that name."""
    names: dict[str, list[str]] = {}
    for source in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                names.setdefault(node.name, []).append(str(source.relative_to(ROOT)))
    return names


# `handwriting` is a program of its own, and `main` is each program's.
@pytest.mark.parametrize("program", ["service", "trainer"])
def test_in_one_program_a_public_name_means_one_thing(program: str) -> None:
    twice = {
        name: kept
        for name, files in public_names(program, "scenes", "models").items()
        if not name.startswith("_") and name != "main"
        if len(kept := [file for file in files if not file.startswith("trainer/handwriting/")]) > 1
    }
    assert twice == {}


def works_at_import(source: Path) -> list[int]:
    """The lines of a module that do more than import, define and name when it is imported."""
    harmless = (
        *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
        *(ast.Assign, ast.AnnAssign, ast.Raise),
    )

    def found(statements: list[ast.stmt]) -> list[int]:
        lines: list[int] = []
        for node in statements:
            match node:
                case ast.If(test=test) if "__name__" in ast.unparse(test):
                    pass
                case ast.If(body=body, orelse=orelse):
                    lines += found(body + orelse)
                case ast.Try(body=body, handlers=handlers):
                    lines += found(body) + [line for handler in handlers for line in found(handler.body)]
                case ast.Expr(value=ast.Constant()):  # a docstring
                    pass
                case _ if not isinstance(node, harmless) and "ORT_DISABLE_TELEMETRY" not in ast.unparse(node):
                    lines.append(node.lineno)
        return lines

    return found(ast.parse(source.read_text(encoding="utf-8")).body)


@pytest.mark.parametrize("folder", sorted({*MAY_IMPORT, "benchmarks"}))
def test_no_module_works_when_it_is_imported(folder: str) -> None:
    found = {
        str(source.relative_to(ROOT)): lines
        for source in (ROOT / folder).rglob("*.py")
        if (lines := works_at_import(source))
    }
    assert found == {}


def test_work_at_import_is_found(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text(
        '"""Doc."""\nimport os\nX = 1\n"""Of X."""\nos.makedirs("y")\nfor i in range(3):\n    print(i)\n'
        'if __name__ == "__main__":\n    print(1)\n',
        encoding="utf-8",
    )
    assert works_at_import(source) == [5, 6]


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_each_stage_is_there_and_says_what_it_is(folder: str) -> None:
    initial = ROOT / folder / "__init__.py"
    assert initial.is_file()
    assert ast.get_docstring(ast.parse(initial.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("path", "line", "name"),
    [
        ("trainer/a.py", "import service", "service"),
        ("trainer/a.py", "from service.app import create_app", "service.app.create_app"),
        ("trainer/a.py", "from models import store", "models.store"),
        ("trainer/a.py", "import models", "models"),
        ("trainer/deep/a.py", "def late():\n    from service import app", "service.app"),
        ("service/a.py", "if True:\n    import trainer.training.loop as t", "trainer.training.loop"),
        ("service/a.py", "from ..trainer import training", "trainer.training"),
        ("service/a.py", "import importlib\nimportlib.import_module('trainer.model')", "trainer.model"),
        ("service/a.py", "__import__('trainer')", "trainer"),
        ("service/a.py", "from models.contract_of_another import x", "models.contract_of_another.x"),
        ("scenes/a.py", "from models.contract import load_contract", "models.contract.load_contract"),
        ("models/a.py", "import scenes.render", "scenes.render"),
        ("models/a.py", "import benchmarks.scenes", "benchmarks.scenes"),
        ("service/a.py", "from tests import conftest", "tests.conftest"),
        ("service/a.py", "import glimpse", "glimpse"),
        ("glimpse/a.py", "from service.app import create_app", "service.app.create_app"),
    ],
)
def test_the_walker_finds_an_offence(tmp_path: Path, path: str, line: str, name: str) -> None:
    source = tmp_path / path
    source.parent.mkdir(parents=True)
    source.write_text(line + "\n", encoding="utf-8")
    number = line.count("\n") + 1
    assert offences(tmp_path) == [f"{path}:{number} imports {name}"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (
            "trainer/a.py",
            "import scenes\nfrom scenes.render import render\nfrom models.contract import CLASSES",
        ),
        (
            "service/a.py",
            "from models import contract\nimport models.contract\nfrom . import b\nfrom .b import c",
        ),
        ("service/deep/a.py", "from ..settings import Settings\nimport service.app"),
        ("scenes/a.py", "import numpy, trainers\nfrom servicex import y"),
    ],
)
def test_the_walker_allows_the_rest(tmp_path: Path, path: str, line: str) -> None:
    source = tmp_path / path
    source.parent.mkdir(parents=True)
    source.write_text(line + "\n", encoding="utf-8")
    assert offences(tmp_path) == []


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("service.app, service.__main__", ("torch", "onnx", "trainer", "matplotlib", "ray")),
        ("service.ray_serve.proxy", ("torch", "ray")),
        ("glimpse.__main__", ("torch", "onnxruntime", "numpy", "trainer", "scenes")),
        (
            "scenes.draw, scenes.render, scenes.mnist, scenes.__main__",
            ("torch", "trainer", "models", "service"),
        ),
        ("models.contract, models.digits_contract, models.files", ("torch", "scenes", "trainer", "service")),
    ],
)
def test_nothing_else_is_loaded_underneath(modules: str, absent: tuple[str, ...]) -> None:
    """The walker sees our own imports; this sees those of what we import."""
    program = f"import sys, {modules}; print(*sorted({set(absent)!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def layout() -> list[tuple[bool, str, str]]:
    """CONTRIBUTING's diagram by lines: whether it is a room of the package above, its name, its remark."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (diagram,) = re.findall(r"^```text\n(.+?)^```$", page, re.MULTILINE | re.DOTALL)
    lines = [re.fullmatch(r"(  )?([\w./]+) {2,}(\S.+)", line) for line in diagram.splitlines()]
    assert None not in lines
    return [(bool(line[1]), line[2], line[3]) for line in lines if line]


def test_contributing_shows_every_folder() -> None:
    written_by_commands = {"runs", "build", "dist", "__pycache__"}
    folders = {
        f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
    }
    shown = [name for is_room, name, _ in layout() if not is_room]
    assert sorted(shown) == sorted(folders - {f"{name}/" for name in written_by_commands})


def test_contributing_says_what_each_package_imports() -> None:
    said = {
        name.strip("/"): set(re.findall(r"\w+", found[1])) - {"nothing"}
        for is_room, name, remark in layout()
        if not is_room and (found := re.search(r"imports (.+)$", remark))
    }
    assert said == {
        package: {
            name.partition(".")[0]
            for source in (ROOT / package).rglob("*.py")
            for _, name in imported_modules(source, ROOT)
        }
        & OURS - {package}
        for package in MAY_IMPORT
    }


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_contributing_shows_the_rooms_from_the_top_floor_down(package: str) -> None:
    floor_of = {room: number for number, floor in enumerate(FLOORS[package]) for room in floor}
    shown: list[str] = []
    inside = ""
    for is_room, name, _ in layout():
        inside = inside if is_room else name.strip("/")
        if is_room and inside == package:
            assert (ROOT / package / name).exists()
            shown.append(name.removesuffix(".py").strip("/").replace("/", "."))
    assert sorted(shown) == sorted(floor_of)
    assert shown == sorted(shown, key=floor_of.__getitem__)


def test_what_tests_share_lies_in_modules_that_hold_no_tests() -> None:
    found = [
        f"{source.relative_to(ROOT)}:{line} imports {name}"
        for source in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in imported_modules(source, ROOT)
        if re.match(r"tests\.(\w+\.)*(test_|conftest)", name)
    ]
    assert found == []
