"""What nobody provides any more: importing it is allowed, using it says what it is and what to do."""

# Part of tf.contrib -> what takes its place; the others get the general advice.
_INSTEAD = {
    "seq2seq": "write the decoding loop with tf.while_loop",
    "cudnn_rnn": "build the same weights with tf.nn.rnn_cell (CudnnCompatibleLSTMCell is an LSTM cell)",
    "tpu": "build the model without TPUEstimator and return its tensors",
    "estimator": "call the model function yourself and return spec.predictions",
}
_ADVICE = "replace that call by TensorFlow ops"


class MissingError(AttributeError):
    """Code asked for a part of TensorFlow 1 that is not to be had; `name` is that part, "tf.contrib.tpu.Foo"."""

    name: str

    def __init__(self, name: str):
        super().__init__(f"{name} is not available: TensorFlow 2 dropped it and no package provides it.")
        self.name = name
        LAST[:] = [self]

    @property
    def remedy(self) -> str:
        """What can be done about it."""
        parts = self.name.split(".")
        instead = _INSTEAD.get(parts[2], _ADVICE) if len(parts) > 2 else _ADVICE
        by_graph = "or export from the graph of that time: --checkpoint=PREFIX with its .meta"
        return f"In the builder's code, {instead}; {by_graph}."


# `from x import y` turns an AttributeError into an ImportError of its own words; this is the one behind it.
LAST: list[MissingError] = []


class Missing:
    """Stands for a name that nobody provides, so that a file which never uses it can import it."""

    def __init__(self, name: str):
        self._name = name

    def __call__(self, *args, **kwargs):
        raise MissingError(self._name)

    def __mro_entries__(self, bases):
        raise MissingError(self._name)

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        raise MissingError(f"{self._name}.{name}")

    def __repr__(self) -> str:
        return f"<{self._name}, which is not available>"
