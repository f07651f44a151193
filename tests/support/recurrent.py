"""Recurrent cells and decoders in the way of TensorFlow 1, for `tf.compat.v1.nn.dynamic_rnn`."""

import tensorflow as tf

v1 = tf.compat.v1


class Cell:
    """What `dynamic_rnn` asks of a cell; `step` does the work."""

    def __init__(self, units: int, step, states: int = 1):
        self.units, self.step = units, step
        self.output_size = units
        self.state_size = units if states == 1 else (units,) * states

    def zero_state(self, batch_size, dtype):
        zeros = tf.zeros([batch_size, self.units], dtype)
        return zeros if not isinstance(self.state_size, tuple) else (zeros,) * len(self.state_size)

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return self.zero_state(batch_size, dtype)

    def __call__(self, inputs, state, scope=None):
        with v1.variable_scope("cell", reuse=v1.AUTO_REUSE):
            return self.step(inputs, state, self.units)


def variable(name: str, shape, seed: int = 3):
    initializer = v1.random_normal_initializer(stddev=0.4, seed=seed)
    return v1.get_variable(name, shape, initializer=initializer, use_resource=True)


def lstm(inputs, state, units, normalise=None):
    c, h = state
    kernel = variable("kernel", [int(inputs.shape[1]) + units, 4 * units])
    z = tf.matmul(tf.concat([inputs, h], 1), kernel) + variable("bias", [4 * units])
    i, j, f, o = tf.split(z, 4, 1)
    if normalise:
        i, j, f, o = (normalise(part, name) for part, name in ((i, "i"), (j, "j"), (f, "f"), (o, "o")))
    c = tf.sigmoid(f + 1.0) * c + tf.sigmoid(i) * tf.tanh(j)
    h = tf.sigmoid(o) * tf.tanh(normalise(c, "c") if normalise else c)
    return h, (c, h)


def layer_norm_lstm(inputs, state, units):
    def normalise(part, name):
        mean, variance = tf.nn.moments(part, [1], keepdims=True)
        return (part - mean) * tf.math.rsqrt(variance + 1e-3) * variable(f"gain_{name}", [units]) + 0.1

    return lstm(inputs, state, units, normalise)


def gru(inputs, state, units):
    both = tf.concat([inputs, state], 1)
    rows = int(inputs.shape[1]) + units
    r, u = tf.split(tf.sigmoid(both @ variable("gates", [rows, 2 * units])), 2, 1)
    candidate = tf.tanh(tf.concat([inputs, r * state], 1) @ variable("candidate", [rows, units]))
    state = u * state + (1 - u) * candidate
    return state, state


def dynamic_rnn(step, units: int, states: int, x, lengths=None):
    return v1.nn.dynamic_rnn(Cell(units, step, states), x, lengths, dtype=tf.float32)


def bidirectional(step, units: int, states: int, x, lengths):
    cells = Cell(units, step, states), Cell(units, step, states)
    return v1.nn.bidirectional_dynamic_rnn(*cells, x, lengths, dtype=tf.float32)


def beam_search(x, steps: int = 6, beams: int = 3, words: int = 5):
    """Keeps the best `beams` continuations; beams that have ended keep their score; conditions inside the loop."""
    w, e = variable("out", [int(x.shape[1]), words]), variable("embedding", [words, int(x.shape[1])])

    def body(i, state, scores, tokens, alive, history):
        step_scores = tf.nn.log_softmax(state @ w) * tf.cast(alive, tf.float32)[:, None]
        total = tf.reshape(scores[:, None] + step_scores, [-1])
        scores, flat = tf.nn.top_k(total, beams)
        parent, tokens = flat // words, flat % words
        alive = tf.gather(alive, parent) & tf.not_equal(tokens, 0)
        state = tf.tanh(tf.gather(state, parent) + tf.gather(e, tokens))
        state = v1.cond(
            tf.reduce_any(~alive), lambda: state * 0.9, lambda: v1.cond(i > 2, lambda: state + 0.1, lambda: state)
        )
        return i + 1, state, scores, tokens, alive, history.write(i, tokens)

    history = v1.TensorArray(tf.int32, size=0, dynamic_size=True)
    start = [0, x, tf.constant([0.0, -5.0, -9.0]), tf.zeros([beams], tf.int32), tf.ones([beams], tf.bool), history]
    loop = v1.while_loop(lambda i, s, c, t, alive, h: (i < steps) & tf.reduce_any(alive), body, start)
    return loop[1], loop[2], loop[5].stack()
