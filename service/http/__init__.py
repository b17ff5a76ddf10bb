"""What stands between a socket and the engine: bounds, errors, keys, headers, middleware, the server.

Reads requests; writes answers.
"""
