"""What stands between a socket and the engine: bounds, errors, keys, headers, logs, metrics, the server.

Reads requests; writes answers and the log.
"""
