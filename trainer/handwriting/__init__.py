"""A small generator of handwritten digits, trained on MNIST's 60,000 training digits and exported to ONNX.

Reads MNIST's training digits; writes `models/digits.onnx` and its sidecar. The other model's training knows
nothing of it.
"""
