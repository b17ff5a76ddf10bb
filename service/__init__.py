"""Last stage: answers HTTP requests with a digit's label, box, attention map and glimpse.

Reads a model file with its sidecar, and posted pictures; writes JSON. Imports `scenes` and `models.contract`.
"""

import os

# From 1.29 on, onnxruntime tells its maker about every start, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
