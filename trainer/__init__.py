"""Second stage: trains the attention network and the classifier together, from images and labels alone.

Reads digits through `scenes`; writes runs (checkpoints, metrics) and `models/glimpse.onnx` with its sidecar.
"""
