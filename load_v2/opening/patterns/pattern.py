"""What a pattern says of a piece of graph that is nearly its layer."""


class Missed(Exception):
    """A piece of graph that looks like a layer and is none; the message says what is different."""
