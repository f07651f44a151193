"""What a graph could do beside computing: ops that may touch files, network, Python, processes or other devices.

A graph is code: step 1 runs it to record its answers, and Keras refuses to run code from a file unless asked to
(`safe_mode=False`). A list of bad ops goes out of date with each TensorFlow release, so the rule is the other way round:
an op is allowed when TensorFlow registers it as stateless (its result depends on its inputs alone and it leaves nothing
behind) and it is not among the few that read the outside world although they are registered so, or when it is a
stateful op listed here. Everything else is named and refused, unless the user allows it by name.
"""

from collections.abc import Callable, Collection, Iterator

import tensorflow as tf

from export_v1 import errors
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, NodeDef

# Stateful ops whose state is a variable, a table, a random generator, a list or stack inside one call, or a function
# call.
STATEFUL = frozenset(
    """
    VarHandleOp VarIsInitializedOp ReadVariableOp _ReadVariablesOp AssignVariableOp AssignAddVariableOp
    AssignSubVariableOp DestroyResourceOp DisableCopyOnRead ResourceGather ResourceGatherNd ResourceScatterAdd
    ResourceScatterDiv ResourceScatterMax ResourceScatterMin ResourceScatterMul ResourceScatterNdAdd
    ResourceScatterNdMax ResourceScatterNdMin ResourceScatterNdSub ResourceScatterNdUpdate ResourceScatterSub
    ResourceScatterUpdate ResourceStridedSliceAssign ResourceCountUpTo VariableShape HashTableV2 MutableHashTableV2
    MutableHashTableOfTensorsV2 MutableDenseHashTableV2 InitializeTableV2 InitializeTableFromTextFileV2
    LookupTableFindV2 LookupTableInsertV2 LookupTableRemoveV2 LookupTableSizeV2 LookupTableExportV2
    LookupTableImportV2 AnonymousHashTable RandomUniform RandomUniformInt RandomStandardNormal TruncatedNormal
    RandomShuffle RandomGamma RandomPoisson RandomPoissonV2 ParameterizedTruncatedNormal Multinomial StatefulUniform
    StatefulUniformFullInt StatefulUniformInt StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal
    StatefulRandomBinomial RngSkip RngReadAndSkip UniformCandidateSampler LogUniformCandidateSampler
    LearnedUnigramCandidateSampler ThreadUnsafeUnigramCandidateSampler AllCandidateSampler
    FixedUnigramCandidateSampler RandomCrop SampleDistortedBoundingBox SampleDistortedBoundingBoxV2
    TensorArrayV3 TensorArrayReadV3 TensorArrayWriteV3 TensorArrayGatherV3
    TensorArrayScatterV3 TensorArrayConcatV3 TensorArraySplitV3 TensorArraySizeV3 TensorArrayGradV3 TensorArrayCloseV3
    TensorArrayGradWithShape StackV2 StackPushV2 StackPopV2 StackCloseV2 PartitionedCall StatefulPartitionedCall If
    While Case For SymbolicGradient Assert Print NoOp CudnnRNN CudnnRNNV2 CudnnRNNV3 CudnnRNNParamsSize
    """.split()
)
# Registered as stateless, yet they read or write files, run Python or other programs, or take a path as an attribute.
OUTSIDE = frozenset(
    """
    ReadFile WriteFile MatchingFiles PyFuncStateless EagerPyFunc PyFunc RestoreV2 Restore RestoreSlice SaveV2 Save
    SaveSlices MergeV2Checkpoints DecodeProtoV2 EncodeProto PrintV2 XlaLaunch FixedUnigramCandidateSampler
    ImmutableConst LoadAndRemapMatrix GenerateVocabRemapping InitializeTableFromTextFile Abort Copy CopyHost
    Prelinearize PrelinearizeTuple InfeedEnqueuePrelinearizedBuffer Batch BatchFunction Unbatch UnbatchGrad WindowOp
    """.split()
)
# Whole families that talk to datasets, other devices, other hosts or files, whatever their registration says.
_FAMILIES = tuple(
    """
    Dataset Iterator Reader Rpc Collective Nccl TPU Tpu PyFunc Summary Debug Dtensor DTensor Xla Remote _Send _Recv
    _HostSend _HostRecv Sql BigQuery Checkpoint IO> TensorRT TRTEngine Snapshot Record
    """.split()
)


def refused(graph_def: GraphDef, assets: Collection[str] = ()) -> dict[str, list[str]]:
    """Returns op -> names of its nodes, for every op in the graph and its functions that is not known to be harmless.

    Args:
        graph_def: a graph that has not run; without reference types.
        assets: tensor names of the paths of files that the export itself brings; a table may be filled from these only.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    found: dict[str, list[str]] = {}
    for node in _nodes(graph_def):
        if node.op not in functions and not (_is_harmless(node.op) and _reads_own_assets(node, assets)):
            found.setdefault(node.op, []).append(node.name)
    return found


def before(graph_def: GraphDef, outputs: Collection[str], inputs: Collection[str]) -> dict[str, list[str]]:
    """Returns what `refused` would say of a graph as it was written, cut at `inputs` and pruned to `outputs`.

    What reads and writes references is let in: the export has its resource twins.
    """
    cuts = {graph.parse(name).node for name in inputs}
    ends = [graph.parse(name).node for name in outputs]
    needed = graph.Index(graph_def).ancestors(ends, stop=cuts) - cuts
    kept = rewrite.with_nodes(graph_def, (node for node in graph_def.node if node.name in needed))
    twins = ops.REF_VARIABLES | ops.WRITE_TWINS.keys() | ops.ALIAS_TWINS.keys() | ops.TABLE_TWINS.keys()
    found = refused(kept, [f"{node.name}:0" for node in kept.node if node.op == "Const"])
    return {op: names for op, names in found.items() if op not in twins}


def _nodes(graph_def: GraphDef) -> Iterator[NodeDef]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _is_harmless(op: str) -> bool:
    if op in STATEFUL - OUTSIDE or op in ops.RESOURCE_WRITERS:
        return True
    definition = graph.registered(op)
    if definition is None or definition.is_stateful or op in OUTSIDE:
        return False
    return not any(family in op for family in _FAMILIES)


def _reads_own_assets(node: NodeDef, assets: Collection[str]) -> bool:
    if node.op != "InitializeTableFromTextFileV2":
        return True
    return len(node.input) > 1 and graph.parse(node.input[1]).name in assets


def listed(found: dict[str, list[str]]) -> str:
    """Returns one line per op with some of its nodes."""
    return "\n".join(f"    {op}: {errors.quoted(names, 3)}" for op, names in sorted(found.items()))


def check(
    graph_def: GraphDef,
    assets: Collection[str],
    allowed: Collection[str],
    place: str,
    remedy: Callable[[list[str]], str],
    error: type[errors.UserError] = errors.ExportError,
) -> None:
    """Checks that a graph holds no ops but those known to be harmless, and allowed ones.

    Args:
        graph_def: as for `refused`.
        assets: as for `refused`.
        allowed: names of ops that the user allows.
        place: what holds the ops, for the message.
        remedy: returns what to do, from the names of all ops to be allowed.
        error: class of the error.

    Raises:
        UserError: it does; each op with its nodes, and the remedy.
    """
    found = {op: names for op, names in refused(graph_def, assets).items() if op not in allowed}
    if not found:
        return
    unknown = [op for op in found if graph.registered(op) is None]
    note = (
        f"  Not known to TensorFlow {tf.__version__}: {errors.quoted(unknown)}; load their library first.\n"
        if unknown
        else ""
    )
    raise error(
        f"{place} ops that could touch files, network, Python or other devices:\n{listed(found)}\n"
        f"{note}  {remedy(sorted({*allowed, *found}))}"
    )
