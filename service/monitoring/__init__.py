"""What operators read: metrics, and the lines of the log.

Reads what the other parts report; writes the log.
"""
