"""A person's own pictures: a folder for each class, scanned, split and loaded as training sees them.

Reads a folder of pictures; writes caches and `skipped.csv`. Labels are the folders' names; no box is read.
"""
