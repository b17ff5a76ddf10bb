"""`python -m service bulk`: many files at once.

Reads pictures from folders; writes one table.
"""
