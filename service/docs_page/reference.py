"""The reference at `/docs`: the OpenAPI document as one page of HTML, without a script or another host."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Container, Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response

from service.docs_page.reference_schema import code, either, fields, kinds, references, row, table, text
from service.page.files import PageFile, answer_file, make_file

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}: interface for programs</title>
<link rel="icon" href="page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page/theme.css">
<link rel="stylesheet" href="page/reference.css">
</head>
<body>
<header>
<h1>{title} {version}: interface for programs</h1>
<p>{description}</p>
<p>Machines read <a href="openapi.json">openapi.json</a>; <a href="./">the page</a> is for trying it by hand.
Where an example posts <code>scene.png</code>, the one of <code>/synthesize</code> has made it.</p>
</header>
<nav aria-label="Calls"><ul>
{contents}
</ul></nav>
<main>
{calls}
<h2>Bodies in JSON</h2>
{bodies}
</main>
</body>
</html>
"""
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")


class Call(NamedTuple):
    """An operation of the OpenAPI document."""

    method: str
    path: str
    content: dict[str, Any]

    @property
    def title(self) -> str:
        """Method and path, as HTML."""
        return f"<span>{html.escape(self.method.upper())}</span> {html.escape(self.path)}"

    @property
    def anchor(self) -> str:
        """What links to it, as HTML."""
        return html.escape(f"{self.method}{self.path.replace('/', '-')}")


def add_reference(app: FastAPI) -> None:
    """Answer `/docs`; it is written once for each address that it is asked at."""

    @lru_cache(maxsize=8)
    def written(address: str) -> PageFile:
        return make_file(render_reference(app.openapi(), address).encode(), ".html")

    async def reference(request: Request) -> Response:
        host = request.headers.get("host", "")
        # The examples name the host that the reader has reached, so that they run; no odd one is repeated.
        name = host if _HOST.fullmatch(host) else "localhost:8000"
        return answer_file(request, written(f"{request.scope['scheme']}://{name}"))

    app.get("/docs", include_in_schema=False)(reference)


def render_reference(document: dict[str, Any], address: str) -> str:
    """The page.

    Args:
        document: the OpenAPI document, as FastAPI writes it.
        address: scheme and host for the examples, without a slash at the end.
    """
    info, schemas = document["info"], document.get("components", {}).get("schemas", {})
    calls = [
        Call(method, path, content)
        for path, methods in document["paths"].items()
        for method, content in methods.items()
    ]
    # What a call takes or answers has a table of its own; what only stands inside another is unfolded there.
    bodies = dict.fromkeys(name for call in calls for name in _bodies(call))
    return _PAGE.format(
        title=text(info["title"]),
        version=text(info["version"]),
        description=text(info.get("description", "")),
        contents="\n".join(
            f'<li><a href="#{call.anchor}">{call.title}</a> {text(call.content.get("summary", ""))}</li>'
            for call in calls
        ),
        calls="\n".join(_section(call, address, bodies) for call in calls),
        bodies="\n".join(
            f'<section id="{html.escape(name)}"><h3>{html.escape(name)}</h3>'
            f"<p>{text(schemas[name].get('description', ''))}</p>"
            f"{table(fields(schemas[name], schemas, bodies), 'Field', 'Type', 'Range', 'Meaning')}</section>"
            for name in bodies
        ),
    )


def commands(call: Call, address: str) -> Iterator[str]:
    """The call as curl makes it, with the query's examples: once for each way to send a picture.

    Where the body must be JSON there is none: a scene's numbers are too many for a command line.
    """
    content = call.content
    examples = {
        parameter["name"]: parameter["schema"]["examples"][0]
        for parameter in content.get("parameters", [])
        if parameter["in"] == "query" and "examples" in parameter["schema"]
    }
    url = f"{address}{call.path}{'?' if examples else ''}{urlencode(examples)}"
    curl = ["curl", *(["-H", "X-API-Key: …"] if "security" in content else [])]
    if not content.get("requestBody", {}).get("required"):
        picture = any(kind.startswith("image/") for kind in content["responses"]["200"]["content"])
        options = ["-o", "scene.png"] if picture else []
        yield shlex.join([*curl, *options, *(["-X", "POST"] if call.method == "post" else []), url])
        return
    raw = False
    for kind, form in content["requestBody"]["content"].items():
        if "properties" in form["schema"]:
            files = [
                f"{name}=@scene.png"
                for name, schema in form["schema"]["properties"].items()
                for _ in range(2 if schema["type"] == "array" else 1)
            ]
            yield shlex.join([*curl, *(word for file in files for word in ("-F", file)), url])
        elif kind.startswith("image/") and not raw:  # one picture type is example enough
            raw = True
            yield shlex.join([*curl, "--data-binary", "@scene.png", "-H", f"Content-Type: {kind}", url])


def _bodies(call: Call) -> Iterator[str]:
    for body in (call.content.get("requestBody", {}), *call.content["responses"].values()):
        for content in body.get("content", {}).values():
            yield from references(content["schema"])


def _section(call: Call, address: str, bodies: Container[str]) -> str:
    content = call.content
    parts = [
        f'<section id="{call.anchor}"><h2>{call.title}</h2>',
        f'<p class="summary">{text(content.get("summary", ""))}</p>',
        f"<p>{text(content.get('description', ''))}</p>",
        *(f"<pre><code>{html.escape(command)}</code></pre>" for command in commands(call, address)),
    ]
    for place, title in (("query", "Query"), ("header", "Headers")):
        parameters = [each for each in content.get("parameters", []) if each["in"] == place]
        rows = "".join(_parameter(parameter) for parameter in parameters)
        if rows:
            parts.append(f"<h3>{title}</h3>{table(rows, 'Name', 'Type', 'Range', 'Default', 'Meaning')}")
    if "requestBody" in content:
        parts.append(f"<h3>Body</h3>{_body(content['requestBody'], bodies)}")
    statuses = "".join(_status(status, answer, bodies) for status, answer in content["responses"].items())
    return "\n".join([*parts, f"<h3>Answers</h3><dl>{statuses}</dl></section>"])


def _parameter(parameter: dict[str, Any]) -> str:
    default = "required" if parameter["required"] else code(parameter["schema"].get("default"))
    return row(
        parameter["name"], kinds(parameter["schema"], ()), default, text(parameter.get("description", ""))
    )


def _body(body: dict[str, Any], bodies: Container[str]) -> str:
    """Its meaning, and each form that it may have behind the media types of that form."""
    forms: dict[str, list[str]] = {}
    for kind, content in body["content"].items():
        schema = content["schema"]
        parts = [
            f"field {code(name)}, {either(kinds(part, ()))}"
            for name, part in schema.get("properties", {}).items()
        ]
        forms.setdefault("; ".join(parts) or either(kinds(schema, bodies)), []).append(code(kind))
    lines = "".join(f"<li>{', '.join(media)}: {form}</li>" for form, media in forms.items())
    return f"<p>{text(body.get('description', ''))}</p><ul>{lines}</ul>"


def _status(status: str, answer: dict[str, Any], bodies: Container[str]) -> str:
    lines = [f"<p>{text(answer['description'])}</p>"]
    for kind, content in answer.get("content", {}).items():
        lines.append(f"<p>{code(kind)}: {either(kinds(content['schema'], bodies))}</p>")
        if "example" in content:
            lines.append(f"<p>{code(content['example'])}</p>")
    return f"<div><dt>{html.escape(status)}</dt><dd>{''.join(lines)}</dd></div>"
