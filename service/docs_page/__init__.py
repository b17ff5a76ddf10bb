"""The reference at `/docs`, a page without scripts, written from the OpenAPI document.

Reads the document; writes nothing.
"""
