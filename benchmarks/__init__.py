"""Beside the road: every figure and picture that the documents show, each made by one command.

Reads all stages; writes `benchmarks/results/`, with hardware, versions and commit beside each figure.
"""
