"""The first thing that comes to mind: a FastAPI handler that decodes, runs and returns.

A `def` endpoint, so that FastAPI runs it in its thread pool, and one session with onnxruntime's default
threads. It reads the raw body, which costs less than the multipart form of FastAPI's tutorial. No batching.
"""

from __future__ import annotations

from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI

from benchmarks.serving.peers.onnx_model import OnnxModel, read_settings, to_plain

app = FastAPI()
model = OnnxModel(threads=0)


@app.post("/predict")
def predict(image: Annotated[bytes, Body(media_type="image/png")], maps: str = "array") -> dict[str, Any]:
    """Decode, run, return."""
    return to_plain(model.answers([image], maps=maps == "array")[0])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=read_settings().port, access_log=False)
