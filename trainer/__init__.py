"""Second stage: trains attention network, refiner and classifier together, from images and labels alone.

Reads digits through `scenes`; writes runs (checkpoints, metrics) and `models/glimpse.onnx` with its sidecar.
"""

import os

# From 1.29 on, onnxruntime reports every start to its maker, unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
