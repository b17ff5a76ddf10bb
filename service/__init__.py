"""Last stage: answers HTTP requests with a digit's label, box, attention map and glimpse.

Reads a model file with its sidecar, and posted pictures; writes JSON. Imports `scenes` and `models.contract`.
"""
