"""Values of variables that a checkpoint holds in another form, from which the graph's own restore ops compute them.

cuDNN's opaque buffers are saved so: as the matrices of a CPU's cells, which the Saver puts together again.
"""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from export_v1.analysis import kernels
from export_v1.ir import importing, ops
from export_v1.ir.graph import GraphDef, Index, Tensor, attr, data_inputs, parse
from export_v1.model import Restored
from export_v1.passes import freeze, portable, prune, replace
from export_v1.weights import session
from export_v1.weights.restore import Checkpoint


def values(
    wanted: Iterable[str], graph_def: GraphDef, checkpoint: Checkpoint
) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Returns, for those variables that restore ops compute from keys that a checkpoint has, their value and the keys.

    Args:
        wanted: names of variables.
        graph_def: the whole graph, with its restore ops.
        checkpoint: what they restore from.

    Raises:
        ExportError: the restore ops cannot be run here.
    """
    index, derived = Index(graph_def), {}
    for name in wanted:
        for assign, at in index.consumers(name):
            if assign.op not in ops.ASSIGNS or at != 0:
                continue
            value = data_inputs(assign)[1]
            restored = _restored(index, value)
            if restored and all(part.key in checkpoint.shapes for part in restored.values()):
                derived[name] = (
                    _computed(graph_def, value, restored, checkpoint),
                    [restored_tensor.key for restored_tensor in restored.values()],
                )
                break
    return derived


def _restored(index: Index, value: Tensor) -> dict[Tensor, Restored]:
    """Returns which tensors come out of a checkpoint, of those that a value is computed from."""
    restored: dict[Tensor, Restored] = {}
    for name in index.ancestors([value.node]):
        for tensor in map(parse, index[name].input):
            if tensor.index >= 0 and tensor.node in index and index[tensor.node].op == "RestoreV2":
                _, keys, specs = data_inputs(index[tensor.node])
                named = [index[operand.node] for operand in (keys, specs)]
                if any(node.op != "Const" for node in named):
                    return {}
                key, spec = (tf.make_ndarray(attr(node, "value").tensor).ravel()[tensor.index] for node in named)
                # A slice would be one of a partitioned variable, which is saved as it is.
                if spec:
                    return {}
                restored[tensor] = Restored(key.decode())
    return restored


def _computed(
    graph_def: GraphDef, value: Tensor, restored: dict[Tensor, Restored], checkpoint: Checkpoint
) -> np.ndarray:
    fed = {
        tensor.name: (checkpoint.dtypes[restored_tensor.key].as_datatype_enum, None)
        for tensor, restored_tensor in restored.items()
    }
    keep = prune.needed(Index(graph_def), [value.name], fed)
    cut = freeze.to_placeholders(graph_def, fed, keep)
    target = cut.renamed.get(value.name, value.name)
    runnable = replace.ops(cut.graph_def, written=graph_def, stored=lambda key: None, unrunnable_only=True)
    pruned = portable.nodes(prune.to_outputs(runnable.graph_def, [target]).graph_def).graph_def
    kernels.check(pruned)
    feeds = {
        cut.renamed[tensor.name]: checkpoint.value(restored_tensor) for tensor, restored_tensor in restored.items()
    }
    with session.opened(lambda: importing.graph_def(pruned)) as opened:
        return np.asarray(opened.run(runnable.renamed.get(target, target), feeds))
