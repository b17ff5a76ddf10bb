"""The Open Inference Protocol v2 for the same model.

Reads tensors as JSON or binary; writes them likewise.
"""
