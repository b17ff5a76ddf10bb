"""First stage: cluttered, noisy scenes made from MNIST digits, with the truth kept apart for evaluation.

Reads the MNIST files and a seed; writes image batches on NumPy or torch. Imports no other stage.
"""
