"""uvicorn's server and protocol with the bounds that they lack, and the load shedder.

Reads bytes from sockets; calls the app; writes its answers.
"""
