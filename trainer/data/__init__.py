"""What training learns from: digits, drawings that are no digits, their augmentation, batches of scenes.

Reads digits through `scenes`; gives images and labels. No place, size or box of a digit leaves this room.
"""
