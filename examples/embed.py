"""Use the engine in a program of your own, without HTTP: python embed.py PICTURE….

The engine is what the service runs behind its routes: a queue, batches, and worker processes that decode
pictures and run the model. An `ImageError` says why a picture cannot be read, an `OverloadedError` that the
queue is full.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from service.inference.engine import start_engine
from service.pictures.decode import ImageError
from service.settings import Settings


async def main(paths: list[str]) -> int:
    """Print the answer to each picture in a line; 1 if one of them could not be read."""
    # Settings are those of the service; `load_settings()` would read them from the environment.
    engine = await start_engine(Settings(workers=1))
    status = 0
    async with engine.running():
        answers = await engine.answer_many([Path(path).read_bytes() for path in paths], "none")
    for path, found in zip(paths, answers, strict=True):
        if isinstance(found, ImageError):
            print(f"{path}: {found}", file=sys.stderr)
            status = 1
        elif isinstance(found, Exception):
            raise found
        else:
            answer = json.loads(found)
            box = answer["bbox"]  # px of the picture; x to the right, y down
            print(
                f"{path}: a {answer['label']}, {box['width']:.0f} × {box['height']:.0f} px "
                f"at ({box['x']:.0f}, {box['y']:.0f})"
            )
    return status


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python embed.py PICTURE…")
    sys.exit(asyncio.run(main(sys.argv[1:])))
