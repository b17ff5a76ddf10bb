"""Names that runs of before model 0.9 wrote into their files, and what they are called now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = {
    "pasted": "copy_paste",
    "warped": "elastic",
    "gathered_label": "pooled_label",
    "kept_ink": "foreground_retention",
}


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values under today's names, also in mappings inside."""
    return {
        _NAMES.get(name, name): with_current_names(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
