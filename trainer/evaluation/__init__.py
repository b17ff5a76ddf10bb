"""How good a model is: figures, and the report of a run.

The only room of the trainer that knows true boxes.
"""
