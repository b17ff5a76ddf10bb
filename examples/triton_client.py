"""Ask the model itself by the Open Inference Protocol: python triton_client.py [ADDRESS].

It needs `pip install 'tritonclient[http]' pillow`. The service answers `/v2` as Triton does. The model takes
grey frames of 100 × 100 px: `/v2` neither decodes nor resizes pictures.
"""

from __future__ import annotations

import io
import os
import sys
import urllib.request

import numpy as np
import tritonclient.http
from PIL import Image

MODEL = "glimpse"


def main() -> None:
    """Print what the model says of two scenes."""
    address = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("GLIMPSE_ADDRESS", "http://127.0.0.1:8000")
    key = os.environ.get("GLIMPSE_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    frames = []
    for seed in (7, 8):
        request = urllib.request.Request(f"{address}/synthesize?seed={seed}", headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            frames.append(np.asarray(Image.open(io.BytesIO(answer.read())).convert("L")))
    scenes = np.stack(frames)[:, np.newaxis]  # uint8 [batch, 1, 100, 100]

    client = tritonclient.http.InferenceServerClient(address.removeprefix("http://"))
    scene = tritonclient.http.InferInput("scene", scenes.shape, "UINT8")
    scene.set_data_from_numpy(scenes)
    wanted = [tritonclient.http.InferRequestedOutput(name) for name in ("probabilities", "box")]
    found = client.infer(MODEL, [scene], outputs=wanted, headers=headers)
    for probabilities, box in zip(found.as_numpy("probabilities"), found.as_numpy("box"), strict=True):
        x, y, width, height = box  # px of the frame
        print(f"a {probabilities.argmax()}, {width:.0f} × {height:.0f} px at ({x:.0f}, {y:.0f})")
    client.close()


if __name__ == "__main__":
    main()
