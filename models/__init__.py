"""The hand-over between trainer and service: model files and the contract that describes them.

Reads and writes `models/glimpse.onnx` and its sidecar `models/glimpse.json`; knows neither torch nor HTTP.
"""
