"""CudnnRNN, V2 and V3, and the ops around cuDNN's opaque buffer, on any device.

Source of truth: tensorflow/core/ops/cudnn_rnn_ops.cc and core/kernels/cudnn_rnn_ops.cc of TensorFlow 1.15. The answers
are those of the cells that tf.contrib.cudnn_rnn gives for a CPU; dropout between layers draws other random numbers than
cuDNN does.
"""

from collections.abc import Sequence

import tensorflow as tf

from export_v1 import errors
from export_v1.passes.replacements import cudnn_cells
from export_v1.passes.replacements.cudnn_layout import Layout, cells
from export_v1.passes.replacements.site import Replacement, Site


def rnn(
    site: Site, x: tf.Tensor, input_h: tf.Tensor, input_c: tf.Tensor, params: tf.Tensor, *lengths: tf.Tensor
) -> list[tf.Tensor | None]:
    """Returns the outputs of all steps, the last output and the last cell state of each layer and direction.

    Args:
        site: with what the network is.
        x: [time, batch, input], or [batch, time, input] where `time_major` is false.
        input_h: [layers * directions, batch, output]; [batch, layers * directions, output] where `time_major` is
            false, and even then cuDNN takes its memory for that of the other order.
        input_c: as input_h, of `units`; of no use but to an LSTM.
        params: the opaque buffer.
        *lengths: of each sequence, [batch]; the op's third version has them.
    """
    time_major = bool(site.attr("time_major")) if lengths else True
    layout = _layout(site, time_major)
    x = tf.ensure_shape(x, [None, None, layout.input_size])
    x = x if time_major else tf.transpose(x, [1, 0, 2])
    batch = tf.shape(x)[1]
    many = layout.layers * layout.directions
    h = tf.unstack(tf.reshape(input_h, [many, batch, layout.output_size]), num=many)
    c: list = [None] * many
    if layout.mode == "lstm":
        c = tf.unstack(tf.reshape(input_c, [many, batch, layout.units]), num=many)
    length = tf.ensure_shape(lengths[0], [None]) if lengths else None
    # A graph that was only ever built for training is for inference all the same.
    dropout = site.attr("dropout") if site.attr("is_training") and site.training else 0.0
    weights, last_h, last_c = cells(layout, params), [], []
    for layer in range(layout.layers):
        outputs = []
        for direction in range(layout.directions):
            at = layer * layout.directions + direction
            read = _reversed(x, length) if direction else x
            steps, states = cudnn_cells.run(layout.mode, weights[at], read, h[at], c[at])
            last_h.append(_last(steps, h[at], length))
            if states is not None:
                last_c.append(_last(states, c[at], length))
            steps = _reversed(steps, length) if direction else steps
            outputs.append(steps)
        x = outputs[0] if len(outputs) == 1 else tf.concat(outputs, 2)
        if length is not None:
            within = tf.sequence_mask(length, tf.shape(x)[0])
            x = tf.where(tf.transpose(within)[:, :, tf.newaxis], x, tf.zeros([], x.dtype))
        if dropout and layer + 1 < layout.layers:
            x = tf.nn.dropout(x, dropout, seed=site.attr("seed2") or None)
    output = x if time_major else tf.transpose(x, [1, 0, 2])
    states = [tf.stack(last) if last else None for last in (last_h, last_c)]
    if not time_major:
        states = [None if state is None else tf.reshape(state, [batch, many, state.shape[2]]) for state in states]
    # What is reserved for the gradient op is of no use without it.
    return [output, *states, *[None] * (2 if site.node.op != "CudnnRNN" else 1)]


def _reversed(x: tf.Tensor, length: tf.Tensor | None) -> tf.Tensor:
    return tf.reverse(x, [0]) if length is None else tf.reverse_sequence(x, length, seq_axis=0, batch_axis=1)


def _last(steps: tf.Tensor, initial: tf.Tensor, length: tf.Tensor | None) -> tf.Tensor:
    """Returns the state after the last step of each sequence."""
    if length is None:
        return steps[-1]
    rows = tf.range(tf.shape(steps)[1])
    last = tf.gather_nd(steps, tf.stack([tf.maximum(length - 1, 0), rows], 1))
    return tf.where((length > 0)[:, tf.newaxis], last, initial)


def _layout(site: Site, time_major: bool) -> Layout:
    directions = _directions(site)
    mode, is_projected = _text(site, "rnn_mode"), bool(site.attr("num_proj")) if "V3" in site.node.op else False
    layer_axis = 0 if time_major else 1
    x, input_h, input_c, *_ = site.shapes
    wanted = [(x, 2), (input_h, layer_axis), (input_h, 2), (input_c if is_projected else input_h, 2)]
    sizes = [shape[axis] for shape, axis in wanted if shape.rank == 3]
    if len(sizes) < len(wanted) or None in sizes:
        raise errors.ExportError(
            f"Node {site.node.name!r} ({site.node.op}) cannot be replaced: the graph does not tell the sizes of its "
            f"input {x} and its initial state {input_h}.\n"
            "  Give the input's shape with --input=KEY=TENSOR[SHAPE]."
        )
    input_size, many, output_size, units = (int(size) for size in sizes if size is not None)
    return Layout(
        mode=mode,
        layers=many // directions,
        directions=directions,
        input_size=input_size,
        units=units,
        projection=output_size if is_projected else 0,
        skips_input=_skips_input(site, input_size, units),
    )


def _text(site: Site, name: str) -> str:
    return site.attr(name).decode()


def _directions(site: Site) -> int:
    return 2 if _text(site, "direction") == "bidirectional" else 1


def _skips_input(site: Site, input_size: int, units: int) -> bool:
    mode = _text(site, "input_mode")
    return mode == "skip_input" or mode == "auto_select" and input_size == units


def _stated_layout(site: Site) -> Layout:
    """Returns the layout that the first three inputs of an op tell: layers, units, input size."""
    numbers = [site.constant(at) for at in range(3)]
    if any(number is None for number in numbers):
        raise errors.ExportError(
            f"Node {site.node.name!r} ({site.node.op}) cannot be replaced: its sizes are no constants."
        )
    layers, units, input_size = (int(number) for number in numbers if number is not None)
    projection = site.attr("num_proj") if site.node.op.endswith(("V2", "Size")) else 0
    skips_input = _skips_input(site, input_size, units)
    return Layout(_text(site, "rnn_mode"), layers, _directions(site), input_size, units, projection, skips_input)


def params_size(site: Site, *sizes: tf.Tensor) -> tf.Tensor:
    """Returns how many numbers the buffer holds, [1]."""
    return tf.constant([_stated_layout(site).size()], site.attr("S"))


def canonical_to_params(site: Site, *inputs: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the buffer of canonical matrices and biases.

    Args:
        site: unused.
        *inputs: layers, units, input size, the list of matrices, the list of biases.
    """
    matrices, biases = inputs[-2:]
    return tf.concat([tf.reshape(part, [-1]) for part in (*matrices, *biases)], 0)


def params_to_canonical(site: Site, *inputs: tf.Tensor) -> list[tf.Tensor]:
    """Returns the canonical matrices, then the biases, in a buffer.

    Args:
        site: with what the network is.
        *inputs: layers, units, input size, the buffer.
    """
    matrices, biases = _stated_layout(site).split(inputs[-1])
    return [*matrices, *biases]


_LOOPS = "a fused LSTM or a loop over the steps, for each layer and direction, with dropout in training alone"
REPLACEMENTS = {
    **{op: Replacement(rnn, _LOOPS, needs_shapes=True) for op in ("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3")},
    "CudnnRNNParamsSize": Replacement(params_size, "a constant"),
    **{
        f"CudnnRNNCanonicalToParams{version}": Replacement(canonical_to_params, "a concatenation")
        for version in ("", "V2")
    },
    **{f"CudnnRNNParamsToCanonical{version}": Replacement(params_to_canonical, "a split") for version in ("", "V2")},
}
