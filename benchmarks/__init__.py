"""Beside the pipeline: every figure and picture that the documents show, each made by one command.

Reads all stages; writes `benchmarks/results/`, with hardware, versions and commit beside each figure.
"""

import os

# From 1.29 on, onnxruntime tells its maker about every start, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
