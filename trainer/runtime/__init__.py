"""What training runs on: processes, memory, CUDA graphs, and the description of code and machine.

Nothing in here knows digits, scenes or models.
"""
