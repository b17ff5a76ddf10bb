"""Sets of pictures in a folder for each class, with true boxes beside them, and what is measured on them."""
