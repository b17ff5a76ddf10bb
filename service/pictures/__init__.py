"""From posted bytes to what the model sees, and from its boxes back to the picture: decode, guard, place.

Reads bytes; writes nothing.
"""
