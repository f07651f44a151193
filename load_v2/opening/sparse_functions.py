"""Functions of sparse tensors that rebuilt code defines for itself, by name.

Of how many rows there are, backends but TensorFlow have to know a number; while the code is run step by step, they do.
"""

import textwrap

_AS_SIZE = textwrap.dedent('''\
    def as_size(value, place=None):
        """Returns a whole number that is data, or one of several, as a size.

        Backends but TensorFlow have to know it, so they run step by step; inside of a loop, JAX knows what is outside.
        """
        value = ops.cast(value, "int32") if keras.backend.backend() == "tensorflow" else ops.convert_to_numpy(value)
        value = value if place is None else value[place]
        return value if keras.backend.backend() == "tensorflow" else int(value)
''')

_OF_RUNS = textwrap.dedent('''\
    def of_runs(what, rows, ids, count=None):
        """Returns what is done to the rows of each number: their sum, mean, product, the largest, the least, or their count.

        There are `count` numbers, or as many as the largest one says.
        """
        if count is None:
            count = ops.max(ops.concatenate([ops.cast(ids, "int32"), -ops.ones((1,), "int32")])) + 1
            count = count if keras.backend.backend() == "tensorflow" else int(count)
        found = ops.segment_sum(ops.ones_like(ids, dtype="int32"), ids, num_segments=count)
        if what == "count":
            return found
        function = {"max": ops.segment_max, "min": ops.segment_min, "prod": ops.segment_prod}.get(what, ops.segment_sum)
        result = function(rows, ids, num_segments=count)
        found = ops.reshape(found, (-1,) + (1,) * (len(result.shape) - 1))
        if what in ("max", "min"):
            return ops.where(found > 0, result, ops.zeros_like(result))
        many = ops.cast(ops.maximum(found, 1), result.dtype)
        return result / (many if what == "mean" else ops.sqrt(many)) if what in ("mean", "sqrtn") else result
''')

_SOFTMAX_OF_RUNS = textwrap.dedent('''\
    def softmax_of_runs(values, ids, count):
        """Returns values as shares of what all of the same number are."""
        highest = ops.segment_max(values, ids, num_segments=count)
        powers = ops.exp(values - ops.take(highest, ids, axis=0))
        return powers / ops.take(ops.segment_sum(powers, ids, num_segments=count), ids, axis=0)
''')

_FILL_ROWS = textwrap.dedent('''\
    def fill_rows(places, values, rows, default):
        """Returns a sparse matrix with a value in each row that had none: places, values, and where each value went."""
        found = ops.segment_sum(ops.ones_like(places[:, 0]), places[:, 0], num_segments=rows)
        missing = ops.cast(ops.nonzero(ops.equal(found, 0))[0], places.dtype)
        order = ops.argsort(ops.concatenate([places[:, 0], missing]))
        places = ops.concatenate([places, ops.stack([missing, ops.zeros_like(missing)], axis=1)])
        count = ops.shape(values)[0]
        values = ops.concatenate([values, ops.cast(ops.zeros_like(missing), values.dtype) + default])
        return ops.take(places, order, axis=0), ops.take(values, order, axis=0), ops.argsort(order)[:count]
''')

_FLAT_PLACES = textwrap.dedent('''\
    def flat_places(columns, shape):
        """Returns one number for each place of a sparse tensor, of one for each axis."""
        flat = columns[0]
        for column, size in zip(columns[1:], shape[1:]):
            flat = flat * ops.cast(size, flat.dtype) + column
        return flat
''')

_MOVED_PLACES = textwrap.dedent('''\
    def moved_places(flat, shape):
        """Returns the places that numbers have in a tensor of a shape."""
        columns = []
        for size in reversed(shape[1:]):
            size = ops.cast(size, flat.dtype)
            columns.append(flat % size)
            flat = flat // size
        return ops.stack([flat, *reversed(columns)], axis=1)
''')

_ORDER_OF_PLACES = textwrap.dedent('''\
    def order_of_places(places):
        """Returns the order in which the places of a sparse tensor go row by row."""
        order = ops.argsort(places[:, -1])
        for axis in reversed(range(places.shape[1] - 1)):
            order = ops.take(order, ops.argsort(ops.take(places[:, axis], order, axis=0)), axis=0)
        return order
''')

_SCATTERED = textwrap.dedent('''\
    def scattered(dense, places, values):
        """Returns a tensor with other values at some places; one value may be that of all of them."""
        values = ops.broadcast_to(values, ops.shape(places)[:1])
        return ops.scatter_update(dense, places, values)
''')

_ROWS_OF_PART = textwrap.dedent('''\
    def rows_of_part(data, parts, number):
        """Returns what of a tensor belongs to one part, by the number of the part of each row."""
        rows = ops.reshape(data, (-1,) + tuple(ops.shape(data))[len(parts.shape) :])
        chosen = ops.nonzero(ops.equal(ops.reshape(parts, (-1,)), number))[0]
        return ops.take(rows, chosen, axis=0)
''')

_STITCHED = textwrap.dedent('''\
    def stitched(places, parts):
        """Returns rows of several tensors, each at its place; where two have the same place, the last one counts."""
        rows = [ops.reshape(x, (-1,) + tuple(ops.shape(x))[len(at.shape) :]) for at, x in zip(places, parts)]
        places = ops.concatenate([ops.reshape(ops.cast(at, "int32"), (-1,)) for at in places])
        count = ops.max(ops.concatenate([places, -ops.ones((1,), "int32")])) + 1
        if keras.backend.backend() != "tensorflow":
            count = int(count)
        last = ops.segment_max(ops.arange(ops.shape(places)[0], dtype="int32"), places, num_segments=count)
        return ops.take(ops.concatenate(rows), ops.maximum(last, 0), axis=0)
''')

FUNCTIONS = {
    "as_size": _AS_SIZE,
    "of_runs": _OF_RUNS, "softmax_of_runs": _SOFTMAX_OF_RUNS, "fill_rows": _FILL_ROWS, "flat_places": _FLAT_PLACES,
    "moved_places": _MOVED_PLACES, "order_of_places": _ORDER_OF_PLACES, "scattered": _SCATTERED,
    "rows_of_part": _ROWS_OF_PART, "stitched": _STITCHED,
}  # fmt: skip
