"""Lines of a log of JSON."""

from __future__ import annotations

import io
import json


def read(lines: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]
