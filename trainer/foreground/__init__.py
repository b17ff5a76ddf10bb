"""Learn from labels alone which pixels of a picture are the object's.

Reads labelled pictures, writes a foreground map for each: what digits need not, whose ink is bright.
"""
