"""How a graph was trained: its loss, the gradients of that, and what the train op makes of them."""
