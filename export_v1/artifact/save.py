"""Writes the SavedModel: graph, variables, tables, assets, signatures."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from export_v1 import errors
from export_v1.artifact import initializers, saver
from export_v1.format import bundle, call_order
from export_v1.ir import graph, importing, library, ops
from export_v1.ir.graph import GraphDef, NodeDef
from export_v1.weights import stream, tables
from export_v1.weights.restore import Weights
from export_v1.weights.session import CONFIG, fill, refused

v1 = tf.compat.v1

# Variables of more bytes than this together are streamed from file to file. simple_save has a session copy them out
# again, and writes in one go, which takes memory and time that grow with the model; below this neither counts beside
# what `import tensorflow` takes.
STREAMED_ABOVE = 128 * 2**20


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        checksums: variable name -> the masked CRC-32C of its bytes.
        not_finite: names of variables with NaN or infinity.
        streamed: whether the variables went past in pieces.
    """

    checksums: Mapping[str, int]
    not_finite: tuple[str, ...]
    streamed: bool


@dataclasses.dataclass(frozen=True)
class Exported:
    """A graph ready to be written.

    Attributes:
        graph_def: of resource variables only.
        signatures: signature key -> (inputs, outputs, method name); keys -> tensor names.
        table_inits: ops that initialize the tables.
        asset_files: filename tensor -> path.
        losses: tensor names for the REGULARIZATION_LOSSES collection.
        weights: the variables and their values.
    """

    graph_def: GraphDef
    signatures: Mapping[str, tuple[Mapping[str, str], Mapping[str, str], str]]
    table_inits: tuple[str, ...]
    asset_files: Mapping[str, str]
    losses: tuple[str, ...]
    weights: Weights


def meta_graph(exported: Exported, streamed: bool = False) -> tuple[meta_graph_pb2.MetaGraphDef, list[NodeDef]]:
    """Returns a MetaGraphDef of the exported graph with its VARIABLES and REGULARIZATION_LOSSES collections.

    And where the variables are streamed, the nodes to be imported beside it that restore them, as its SaverDef says.
    """
    variables = exported.weights.variables
    graph_def, definitions = initializers.added(exported.graph_def, variables)
    meta = meta_graph_pb2.MetaGraphDef(graph_def=graph_def)
    if not graph_def.versions.producer:
        meta.graph_def.versions.producer = tf.version.GRAPH_DEF_VERSION
    for definition in definitions:
        content = definition.SerializeToString()
        meta.collection_def["variables"].bytes_list.value.append(content)
        if definition.trainable:
            meta.collection_def["trainable_variables"].bytes_list.value.append(content)
    if exported.losses:
        meta.collection_def["regularization_losses"].node_list.value.extend(exported.losses)
    if not streamed:
        return meta, []
    reads = [graph.parse(definition.snapshot_name) for definition in definitions]
    restoring, saver_def = saver.nodes(graph_def, variables, reads)
    meta.saver_def.CopyFrom(saver_def)
    return meta, restoring


def write(
    exported: Exported,
    folder: str,
    checks: Sequence[Callable[[tf.compat.v1.Session], None]] = (),
    config: tf.compat.v1.ConfigProto = CONFIG,
    *,
    writing: bool = True,
) -> Written:
    """Writes a SavedModel of the exported graph into `folder`, which must not exist.

    One signature under its usual key goes through simple_save; several through SavedModelBuilder, which it wraps, and
    so do variables that are streamed. The variables are byte for byte the same either way.

    Args:
        exported: what to write.
        folder: where to.
        checks: are called with a filled session before anything is written, each with variables and tables as they are
            exported; raise where the answers are wrong. Without any, variables that are streamed are never in memory
            together.
        config: of the sessions that the checks are called with.
        writing: whether a check may change variables; they are restored after each then.

    Raises:
        ExportError: a variable cannot be read, or TensorFlow refuses the graph.
        OSError: a file cannot be written.
    """
    streamed = exported.weights.size() > STREAMED_ABOVE
    prefix = os.path.join(folder, "variables", "variables")
    with contextlib.ExitStack() as beside, tf.Graph().as_default() as new_graph:
        builder = written = None
        if streamed and not checks:
            # Writing the variables asks nothing of the graph, which TensorFlow imports on one core.
            builder, written = _begun(exported, folder, prefix, beside)
        with refused("converted"):
            meta, restoring = meta_graph(exported, streamed)
            importing.meta_graph(meta, restoring)
        with v1.Session(graph=new_graph, config=config) as session:
            not_finite = [] if written else fill(session, exported.weights)
            for filename in exported.asset_files:
                v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, new_graph.get_tensor_by_name(filename))
            inits = [new_graph.get_operation_by_name(name) for name in exported.table_inits]
            init = tf.group(*inits, name="init_tables") if inits else None
            if checks and init is not None:
                session.run(init)
            for check in checks:
                if tables.are_written(exported.graph_def):
                    _check_apart(check, exported, new_graph, init, config)
                    continue
                check(session)
                if writing:
                    # The answer itself has changed the variables.
                    fill(session, exported.weights)
            orders = {key: (list(inputs), list(outputs)) for key, (inputs, outputs, _) in exported.signatures.items()}
            v1.add_to_collection(call_order.COLLECTION, call_order.to_text(orders))
            if streamed and written is None:
                builder, written = _begun(exported, folder, prefix, beside)
            streaming = stream.Saver(meta.saver_def, written) if written else None
            with _disk():
                _save(session, exported, folder, init, builder, streaming)
    index = bundle.read(prefix)
    # A graph without variables has no bundle.
    checksums = (
        {variable.name: index.checksum(variable.name) for variable in exported.weights.variables} if index else {}
    )
    return Written(checksums, tuple(streaming.not_finite if streaming else not_finite), streamed)


def _begun(
    exported: Exported, folder: str, prefix: str, beside: contextlib.ExitStack
) -> tuple[tf.compat.v1.saved_model.Builder, Callable[[], list[str]]]:
    """Returns the builder, which wants the folder while it is empty, and what waits for the variables in it."""
    with _disk():
        builder = v1.saved_model.Builder(folder)
    return builder, beside.enter_context(stream.beside(exported.weights, prefix, stream.PIECE))


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """In this block TensorFlow fails for the disk is full, or a file too large."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(f"{type(error).__name__}: {errors.reason(error)}") from error


def _check_apart(check: Callable, exported: Exported, graph: tf.Graph, init: tf.Operation | None, config) -> None:
    """Runs a check in a session of its own, whose tables nobody else writes to.

    Nodes that put a table back would be in the graph that is written.
    """
    with v1.Session(graph=graph, config=config) as session:
        fill(session, exported.weights)
        if init is not None:
            session.run(init)
        check(session)


def writes_variables(graph_def: GraphDef, outputs: Iterable[str]) -> bool:
    """Returns whether answering with some tensors of the graph may change its variables."""
    needed = graph.Index(graph_def).ancestors(graph.parse(name).node for name in outputs)
    nodes = [node for node in graph_def.node if node.name in needed]
    called = library.reachable(graph_def, nodes)
    for function in graph_def.library.function:
        nodes += function.node_def if function.signature.name in called else ()
    return any(node.op in ops.RESOURCE_WRITERS for node in nodes)


def _save(
    session: tf.compat.v1.Session,
    exported: Exported,
    folder: str,
    init: tf.Operation | None,
    builder: tf.compat.v1.saved_model.Builder | None,
    saver: tf.compat.v1.train.Saver | None,
) -> None:
    def tensors(names: Mapping[str, str]):
        return {key: session.graph.get_tensor_by_name(name) for key, name in names.items()}

    predict = v1.saved_model.signature_constants.PREDICT_METHOD_NAME
    default = v1.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    inputs, outputs, method_name = exported.signatures.get(default, ({}, {}, ""))
    # simple_save refuses a signature without inputs, which a model of constants has.
    if saver is None and list(exported.signatures) == [default] and method_name == predict and inputs:
        v1.saved_model.simple_save(session, folder, tensors(inputs), tensors(outputs), legacy_init_op=init)
        return
    builder = builder or v1.saved_model.Builder(folder)
    builder.add_meta_graph_and_variables(
        session,
        [v1.saved_model.tag_constants.SERVING],
        signature_def_map={
            key: v1.saved_model.build_signature_def(
                {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in tensors(inputs).items()},
                {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in tensors(outputs).items()},
                method,
            )
            for key, (inputs, outputs, method) in exported.signatures.items()
        },
        assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        main_op=init,
        # Only a Saver that TensorFlow makes has nodes with a device; to clear them takes every node apart once more.
        clear_devices=saver is None,
        saver=saver,
    )
    builder.save()
