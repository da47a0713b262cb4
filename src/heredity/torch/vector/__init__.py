"""A whole population of PyTorch members as one program."""
