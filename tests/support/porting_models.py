"""Keras models written by hand after the TF1 code of golden cases; layers bear no names unless a test needs them."""

import keras
from keras import layers


def mlp():
    inputs = keras.Input((16,))
    logits = layers.Dense(3)(layers.Dense(32, activation="relu")(inputs))
    return keras.Model(inputs, {"logits": logits, "probs": layers.Softmax()(logits)})


def textbook():
    return keras.Sequential(
        [keras.Input((20,)), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")]
    )


def convnet():
    inputs = keras.Input((12, 12, 3))
    hidden = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    hidden = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(hidden)))
    hidden = layers.Conv2D(16, 3, padding="same")(hidden)
    hidden = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(hidden)))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(layers.Dropout(0.3)(hidden)))


def slim_net():
    inputs = keras.Input((16, 16, 3))
    hidden = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    hidden = layers.ReLU()(layers.BatchNormalization(scale=False)(hidden))
    beside = layers.Conv2D(8, 1, use_bias=False)(hidden)
    beside = layers.ReLU()(layers.BatchNormalization(scale=False)(beside))
    hidden = layers.SeparableConv2D(8, 3, padding="same", activation="relu")(hidden)
    hidden = layers.Flatten()(layers.AveragePooling2D(8)(layers.Add()([hidden, beside])))
    return keras.Model(inputs, layers.UnitNormalization()(layers.Dense(4)(hidden)))


def branches(*, swapped=False):
    def conv(tensor, size, kernel=1, activation="relu"):
        return layers.Conv2D(size, kernel, padding="same", activation=activation)(tensor)

    def mixed(tensor):
        parts = [conv(tensor, 4), conv(conv(tensor, 4), 4, 3), conv(layers.MaxPooling2D(3, 1, "same")(tensor), 4)]
        return layers.Concatenate()(parts[::-1] if swapped else parts)

    inputs = keras.Input((6, 6, 3))
    hidden = mixed(mixed(mixed(conv(inputs, 12))))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(hidden)))


def same_shapes(depth=11, *, heads=("policy", "value")):
    inputs = keras.Input((8,))
    hidden = inputs
    for _ in range(depth):
        hidden = layers.Dense(8, activation="tanh")(hidden)
    first, second = (layers.Dense(3, name=name)(hidden) for name in heads)
    return keras.Model(inputs, {"policy": first, "value": second})


class LastState(keras.Model):
    """LSTM, GRU and a projection, run to each row's length; TF1's outputs are zero after it."""

    def __init__(self):
        super().__init__()
        self.lstm = layers.LSTM(8, return_sequences=True, name="lstm")
        self.gru = layers.GRU(7, return_sequences=True, return_state=True, reset_after=False, name="gru")
        self.proj = layers.Dense(2, name="proj")

    def call(self, seq, lengths):
        mask = keras.ops.arange(keras.ops.shape(seq)[1])[None] < keras.ops.expand_dims(lengths, 1)
        states, last = self.gru(self.lstm(seq, mask=mask), mask=mask)
        return {"score": self.proj(last), "states": states * keras.ops.cast(mask, "float32")[..., None]}


def lstm_cells():
    inputs = keras.Input((7, 5))
    hidden = layers.Bidirectional(layers.LSTM(4, return_sequences=True, name="lstm"))(inputs)
    hidden = layers.LSTM(6, return_sequences=True, name="block")(hidden)
    return keras.Model(inputs, layers.GRU(3, return_sequences=True, reset_after=False, name="gru")(hidden))


def cudnn(reset_after=True):
    inputs = keras.Input((6, 5))
    hidden = inputs
    for number in range(2):
        hidden = layers.LSTM(4, return_sequences=True, name=f"lstm_{number}")(hidden)
    return keras.Model(inputs, layers.GRU(3, return_sequences=True, reset_after=reset_after, name="gru")(hidden))


class Stem(keras.layers.Layer):
    """A convolution inside a layer of one's own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convolution = layers.Conv2D(6, 3, strides=2, activation="relu", name="convolution")

    def build(self, shape):
        self.convolution.build(shape)

    def call(self, images):
        return self.convolution(images)


class Conv1(keras.Model):
    """A model written as code: nobody knows what computes before what."""

    def __init__(self):
        super().__init__()
        self.stem = Stem(name="stem")
        self.down = layers.Dense(7, use_bias=False, name="down")
        self.mix = layers.Dense(7, use_bias=False, activation="relu", name="mix")
        self.head = layers.Dense(3, use_bias=False, name="head")

    def call(self, images):
        return self.head(self.mix(self.down(keras.ops.reshape(self.stem(images), (-1, 96)))))


class Positions(keras.layers.Layer):
    """A learned vector for each place."""

    def build(self, shape):
        self.embeddings = self.add_weight(shape=shape[1:], name="embeddings")

    def call(self, words):
        return words + self.embeddings


def bert(vocabulary=30, length=8, hidden=16, heads=2, depth=2, wide=32, segments=0):
    """Returns a BERT encoder with Keras's own MultiHeadAttention; `segments` kinds of tokens, or none."""

    def norm(name):
        return layers.LayerNormalization(epsilon=1e-12, name=name)

    ids, mask = (keras.Input((length,), dtype="int32", name=name) for name in ("input_ids", "input_mask"))
    inputs = [ids, mask]
    x = layers.Embedding(vocabulary, hidden, name="word_embeddings")(ids)
    if segments:
        inputs.append(keras.Input((length,), dtype="int32", name="segment_ids"))
        x = x + layers.Embedding(segments, hidden, name="token_type_embeddings")(inputs[-1])
    x = norm("embeddings_norm")(Positions(name="position_embeddings")(x))
    seen = layers.Lambda(lambda m: keras.ops.cast(m[:, None, :], "bool"))(mask)
    for number in range(depth):
        attention = layers.MultiHeadAttention(heads, hidden // heads, name=f"layer_{number}_attention")
        x = norm(f"layer_{number}_attention_norm")(x + attention(x, x, attention_mask=seen))
        inner = layers.Dense(wide, activation=keras.activations.gelu, name=f"layer_{number}_intermediate")(x)
        inner = layers.Dense(hidden, name=f"layer_{number}_output")(inner)
        x = norm(f"layer_{number}_output_norm")(x + inner)
    pooled = layers.Dense(hidden, activation="tanh", name="pooler")(x[:, 0])
    return keras.Model(inputs, {"pooled": pooled, "sequence": x})


def tf_keras():
    return keras.Sequential(
        [
            keras.Input((12, 4)),
            layers.Conv1D(6, 3),
            layers.BatchNormalization(),
            layers.SeparableConv1D(6, 3, padding="same"),
            layers.BatchNormalization(),
            layers.LSTM(5, return_sequences=True),
            layers.GRU(5, reset_after=False),
            layers.Dense(5, activation="relu"),
            layers.Dense(5),
        ]
    )
