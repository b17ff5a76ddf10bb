"""The command `glimpse`: one name for what `python -m service`, `trainer` and `scenes` do.

Reads the command line and hands it on; knows nothing of pictures, models or HTTP.
"""
