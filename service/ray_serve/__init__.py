"""Runs the service on a Ray cluster: the same app and predictor in each replica, autoscaled by Ray Serve.

Reads the settings and the model of each node; writes answers over HTTP, behind the proxies of Ray Serve.
"""
