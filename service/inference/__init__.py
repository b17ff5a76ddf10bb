"""From posted bytes to answers: workers decode pictures, place them, run the model, in shared batches.

Reads the model file and its sidecar; writes nothing.
"""
