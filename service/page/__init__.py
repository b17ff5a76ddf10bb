"""The page that tries the service in a browser: its own files and what serves them.

Reads the files of `static/`; writes nothing.
"""
