"""Ask a running service with the standard library alone: python predict.py [PICTURE] [ADDRESS].

Without a picture, the service draws a scene first. When the service is overloaded, it answers 429 or 503, and
`Retry-After` says when to ask again; this program waits that long, a few times.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ADDRESS = os.environ.get("GLIMPSE_ADDRESS", "http://127.0.0.1:8000")
ATTEMPTS = 5


def ask(url: str, body: bytes | None = None) -> bytes:
    """The answer to one request; a POST where there is a body."""
    headers = {"Content-Type": "application/octet-stream"} if body else {}
    if key := os.environ.get("GLIMPSE_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, data=body, headers=headers)
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code not in {429, 503} or attempt == ATTEMPTS - 1:
                # Every error carries a sentence that says what was wrong.
                raise SystemExit(f"{error.code}: {json.load(error)['detail']}") from error
            time.sleep(float(error.headers.get("Retry-After", "1")))
    raise AssertionError("unreachable")


def main() -> None:
    """Print the answer to one picture in a line."""
    address = sys.argv[2] if len(sys.argv) > 2 else ADDRESS
    if len(sys.argv) > 1:
        picture = Path(sys.argv[1]).read_bytes()
    else:
        picture = ask(f"{address}/synthesize?digit=3&clutter=6&seed=7")
    answer = json.loads(ask(f"{address}/predict?maps=none", picture))
    box = answer["bbox"]  # px of the picture; x to the right, y down
    print(
        f"a {answer['label']} with {answer['confidence']:.0%}, {box['width']:.0f} × {box['height']:.0f} px "
        f"at ({box['x']:.0f}, {box['y']:.0f})"
    )


if __name__ == "__main__":
    main()
