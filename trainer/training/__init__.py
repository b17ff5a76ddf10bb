"""From a preset to a run: step, loop, optimiser, average, checkpoint, calibration, monitoring.

Reads batches from `trainer.data`; writes the run's folder. Nothing in here knows a true box.
"""
