"""What trainer and service share of pictures: from an opened picture to the model's frame, and boxes back.

Knows no files and no HTTP; reads and writes nothing.
"""
