"""This service against other servers of the same model: who answers how many pictures a second.

Reads the committed model, writes `benchmarks/results/serving.json`. Nothing is imported here, since the peers
run in environments that hold none of what the rest needs.
"""
