"""JSON schemas as tables of HTML: a row for each field, objects unfolded, alternatives below each other."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

Schema = dict[str, Any]

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


class Kind(NamedTuple):
    """One of the things that a value may be: its type and its range as HTML, and whose fields it holds."""

    type: str
    range: str
    holds: tuple[str, ...] = ()


def text(words: str) -> str:
    """Text as HTML: nothing in it is markup but `code`."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(words))


def code(value: object) -> str:
    """A value as JSON has it, without the quotes of strings; nothing for None."""
    if value is None:
        return ""
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"<code>{html.escape(written)}</code>"


def references(schema: Schema) -> Iterator[str]:
    """The names of the schemas that a value is one of, or a list of."""
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    for part in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        yield from references(part)


def kinds(schema: Schema, linked: Container[str]) -> list[Kind]:
    """What a value may be; null is left out, since it says no more than that the value may be absent."""
    if "anyOf" in schema:
        return [kind for part in schema["anyOf"] for kind in kinds(part, linked) if kind.type != "null"]
    if "$ref" in schema:
        (name,) = references(schema)
        if name in linked:
            return [Kind(f'<a href="#{html.escape(name)}">{html.escape(name)}</a>', "")]
        return [Kind("object", "", (name,))]
    if schema.get("type") == "array":
        return [_list(schema, kinds(schema["items"], linked))]
    return [Kind("file" if schema.get("format") == "binary" else schema["type"], _range(schema))]


def either(found: list[Kind]) -> str:
    """Kinds in one line."""
    return " or ".join(f"{kind.type} {kind.range}".strip() for kind in found)


def table(rows: str, *columns: str) -> str:
    """Rows under the names of their columns."""
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def row(name: str, found: list[Kind], *more: str) -> str:
    """A name, its kinds below each other, and HTML for what columns there are besides."""
    span = f' rowspan="{len(found)}"' if len(found) > 1 else ""
    first, *others = found
    rest = "".join(f"<td{span}>{cell}</td>" for cell in more)
    rows = (
        f'<tr><th scope="row"{span}>{code(name)}</th><td>{first.type}</td><td>{first.range}</td>{rest}</tr>'
    )
    return rows + "".join(
        f'<tr class="or"><td>or {kind.type}</td><td>{kind.range}</td></tr>' for kind in others
    )


def fields(schema: Schema, schemas: dict[str, Schema], linked: Container[str], inside: str = "") -> str:
    """A row for each field of an object and, named `outer.inner`, for those of the objects inside it."""
    rows = []
    for name, field in schema["properties"].items():
        found = kinds(field, linked)
        meaning = text(field.get("description", ""))
        optional = "" if name in schema.get("required", ()) else " Optional."
        rows.append(row(inside + name, found, meaning + optional))
        for kind in found:
            outer = f"{inside}{name}[]." if kind.type.startswith("list") else f"{inside}{name}."
            rows += [fields(schemas[held], schemas, linked, outer) for held in kind.holds]
    return "".join(rows)


def _list(schema: Schema, items: list[Kind]) -> Kind:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    count = "" if most is None else f"{most} " if least == most else f"{least} to {most} "
    ranges = " or ".join(kind.range for kind in items if kind.range)
    return Kind(
        f"list of {count}{' or '.join(_plural(kind.type) for kind in items)}",
        f"each {ranges.removeprefix('each ')}" if ranges else "",
        tuple(name for kind in items for name in kind.holds),
    )


def _plural(kind: str) -> str:
    if kind.startswith("list"):
        return kind.replace("list", "lists", 1)
    return kind if kind.startswith("<") else f"{kind}s"


def _range(schema: Schema) -> str:
    if "enum" in schema:
        return " or ".join(map(code, schema["enum"]))
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']:.10g} to {schema['maximum']:.10g}"
    if "pattern" in schema:
        return f"matches {code(schema['pattern'])}"
    bounds = [f"{sign} {schema[bound]:.10g}" for bound, sign in _BOUNDS.items() if bound in schema]
    if bounds:
        return html.escape(" and ".join(bounds))
    return f"such as {code(schema['examples'][0])}" if "examples" in schema else ""
