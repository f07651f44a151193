"""Random small programs in v1 control flow: converted, they have the values and gradients of the original graph."""

import numpy as np
import tensorflow as tf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.control_flow import build, check, v1

X = np.linspace(-0.9, 0.8, 6, dtype=np.float32).reshape(3, 2)

# A program is a nested tuple: what to do, then programs and small numbers. Predicates are (which, number).
PREDICATES = st.tuples(st.sampled_from(["sum", "first", "counter"]), st.integers(-1, 2))


def programs(depth: int):
    leaf = st.sampled_from([("x",), ("state",), ("weight",)])
    if not depth:
        return leaf
    part = programs(depth - 1)
    return st.one_of(
        leaf,
        st.tuples(st.sampled_from(["tanh", "sin"]), part),
        st.tuples(st.sampled_from(["add", "multiply"]), part, part),
        st.tuples(st.just("cond"), PREDICATES, part, part),
        st.tuples(st.just("two_results"), PREDICATES, part, part),
        st.tuples(st.just("while"), st.integers(0, 3), part),
        st.tuples(st.just("while_until"), st.integers(1, 4), part),
        st.tuples(st.just("collect"), st.integers(1, 3), part),
        st.tuples(st.just("map"), part),
    )


class Builder:
    """Builds a program as `tf.compat.v1` operations on tensors of shape [3, 2]."""

    def __init__(self, x):
        self.x = x
        values = np.array([[0.3, -0.7], [0.9, 0.2]], np.float32)
        self.weight = v1.get_variable("w", initializer=values, use_resource=True)

    def predicate(self, which, state, counter):
        kind, number = which
        if kind == "counter":
            return tf.greater(counter, number)
        value = tf.reduce_sum(state) if kind == "sum" else state[0, 0]
        return tf.greater(value, 0.4 * number)

    def run(self, program, state, counter):
        kind, *rest = program
        return getattr(self, "_" + kind)(state, counter, *rest)

    def _x(self, state, counter):
        return self.x

    def _state(self, state, counter):
        return state

    def _weight(self, state, counter):
        return tf.tanh(state @ self.weight)

    def _tanh(self, state, counter, part):
        return tf.tanh(self.run(part, state, counter))

    def _sin(self, state, counter, part):
        return tf.sin(self.run(part, state, counter))

    def _add(self, state, counter, one, two):
        return self.run(one, state, counter) + self.run(two, state, counter)

    def _multiply(self, state, counter, one, two):
        return self.run(one, state, counter) * self.run(two, state, counter)

    def _cond(self, state, counter, which, one, two):
        return v1.cond(
            self.predicate(which, state, counter),
            lambda: self.run(one, state, counter),
            lambda: self.run(two, state, counter),
        )

    def _two_results(self, state, counter, which, one, two):
        a, b = v1.cond(
            self.predicate(which, state, counter),
            lambda: (self.run(one, state, counter), state * 0.5),
            lambda: (tf.negative(state), self.run(two, state, counter)),
        )
        return a + b

    def _while(self, state, counter, times, part):
        return v1.while_loop(lambda i, y: i < times, lambda i, y: (i + 1, tf.tanh(self.run(part, y, i))), [0, state])[1]

    def _while_until(self, state, counter, most, part):
        """As many steps as the data asks for."""
        return v1.while_loop(
            lambda i, y: (i < most) & (tf.reduce_max(tf.abs(y)) < 2.0),
            lambda i, y: (i + 1, y * 1.3 + 0.1 * tf.tanh(self.run(part, y, i))),
            [0, state],
        )[1]

    def _collect(self, state, counter, times, part):
        array = v1.TensorArray(tf.float32, size=times)
        body = lambda i, y, a: (i + 1, y * 0.8, a.write(i, self.run(part, y, i)))  # noqa: E731
        return tf.reduce_sum(v1.while_loop(lambda i, y, a: i < times, body, [0, state, array])[2].stack(), 0)

    def _map(self, state, counter, part):
        return v1.map_fn(lambda row: self.run(part, tf.tile(row[None], [3, 1]), counter)[0], state)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    # Each program takes seconds: a smaller one that fails too is not worth the minutes it takes to find.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(programs(3), st.sampled_from([1.0, -1.0]))
def test_random_programs(program, sign):
    check(build(lambda x: Builder(x).run(program, x * 1.1, tf.constant(1)) + 0.0 * x, X * np.float32(sign)))
