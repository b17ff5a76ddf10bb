"""What files import, read from their text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

# What knows true boxes. Whatever imports a module of a package imports the package.
TRUTH = {"scenes.truth", "trainer.evaluation"}


def imported_modules(source: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of all that a file imports, wherever in the file it does so."""
    package = source.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"), filename=str(source))):
        match node:
            case ast.Import(names=names):
                for name in names:
                    yield node.lineno, name.name
            case ast.ImportFrom(module=module, names=names, level=level):
                parents = package[: len(package) - level + 1] if level else ()
                for name in names:
                    yield node.lineno, ".".join([*parents, *([module] if module else []), name.name])
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module"), args=[ast.Constant(str(text)), *_]
            ):
                yield node.lineno, text
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(str(text)), *_]):
                yield node.lineno, text


def source_of(module: str, root: Path) -> Path:
    """The file of a module or a package by its dotted name."""
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def reachable(start: str, root: Path) -> set[str]:
    """Dotted names of the modules under `root` that importing `start` can load, wherever they import it."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        # Of "a.b.c" any beginning may be a module or a package: c may be a function of a.b.
        for length in range(1, len(parts) + 1):
            module = ".".join(parts[:length])
            source = source_of(module, root)
            if module not in found and source.is_file():
                found.add(module)
                waiting += [imported for _, imported in imported_modules(source, root)]
    return found
