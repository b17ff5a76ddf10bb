"""A CustomResourceDefinition's schema as a JSON Schema that refuses what Kubernetes would drop in silence.

Kubernetes prunes fields that a structural schema does not name, unless it says
`x-kubernetes-preserve-unknown-fields`: a field with a typo would be lost without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

Schema = dict[str, Any]


def read_schema(definition: Path, version: str) -> Schema:
    """The schema of one version from a CustomResourceDefinition's file.

    Raises:
        ValueError: the file defines another kind of thing, or not that version.
    """
    # The definitions are megabytes long, and libyaml is ten times as fast where PyYAML was built with it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(definition.read_text(encoding="utf-8"), loader)
    if content.get("kind") != "CustomResourceDefinition":
        raise ValueError(f"{definition}: expected a CustomResourceDefinition, got {content.get('kind')}")
    versions = {entry["name"]: entry["schema"]["openAPIV3Schema"] for entry in content["spec"]["versions"]}
    if version not in versions:
        raise ValueError(f"{definition}: expected the version {version} among {', '.join(versions)}")
    schema: Schema = versions[version]
    return schema


def refuse_unknown(schema: Schema) -> Schema:
    """The schema with every object closed whose fields are named, but for those that keep unknown ones."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: refuse_unknown(inner) for name, inner in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        closed["items"] = refuse_unknown(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        closed["additionalProperties"] = refuse_unknown(schema["additionalProperties"])
    elif schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def complaints(schema: Schema, thing: Any) -> list[str]:
    """What a thing does wrong by the schema, each as `path: what`; its metadata is not looked at.

    Of the metadata a definition says no more than that it is an object: it is Kubernetes's own.
    """
    closed = refuse_unknown(schema)
    closed["properties"] = {**closed["properties"], "metadata": {"type": "object"}}
    errors = jsonschema_rs.Draft7Validator(closed).iter_errors(thing)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in errors]
