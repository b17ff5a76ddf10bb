"""From posted bytes to the model's frame, and from its boxes back to the picture.

Reads bytes; writes nothing.
"""
