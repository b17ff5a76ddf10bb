"""First stage: cluttered, noisy scenes made from MNIST digits; the truth is in a module of its own.

Reads the MNIST files and a seed; writes image batches on NumPy or torch. Imports no other stage.
"""
