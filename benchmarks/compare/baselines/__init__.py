"""Other ways to localise a digit from its label, trained by `trainer.training.loop` as our own method is.

Each file holds one method: its network, its loss, and how a box comes out of it.
"""
