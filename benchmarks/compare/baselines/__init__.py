"""Other ways to localise a digit from its label, trained by `trainer.train` as our own method is.

Each file holds one method: its network, its loss, and how a box comes out of it.
"""
