"""Scenes to try: digits that a generator writes, or MNIST's, put into scenes.

Reads the generator's file; writes pictures.
"""
