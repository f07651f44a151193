"""What a graph could do beside computing: ops that may touch files, network, Python or processes.

A graph is code. Keras refuses to run code from a file unless asked to (`safe_mode=False`), and so does this package.
A list of bad ops goes out of date with each TensorFlow release, so the rule is the other way round: an op is let in
when TensorFlow registers it as stateless (its result depends on its inputs alone and it leaves nothing behind) and it
is not among the few that read the outside world although they are registered so, or when it is a stateful op listed
here, which holds nothing but variables, tables, random numbers or control flow. Everything else is named and refused.
"""

from collections.abc import Collection, Mapping

import tensorflow as tf

from load_v2 import private
from load_v2.errors import LoadError, quoted
from load_v2.program import resource_tables, subgraph

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
    FixedUnigramCandidateSampler RandomCrop TensorArrayV3 TensorArrayReadV3 TensorArrayWriteV3 TensorArrayGatherV3
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


def refused(graph_def: subgraph.GraphDef, assets: Collection[str] = ()) -> dict[str, list[str]]:
    """Returns op -> names of its nodes, for every op in the graph and its functions that is not known to be harmless.

    Args:
        graph_def: a graph that was not run.
        assets: tensor names of file names that the export itself brings. A table may be filled from these files only.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    nodes = {node.name: node for node in graph_def.node}
    found: dict[str, list[str]] = {}
    for node in subgraph.all_nodes(graph_def):
        if node.op in functions:
            continue
        if not _is_harmless(node.op) or not _reads_own_assets(node, nodes, assets):
            found.setdefault(node.op, []).append(node.name)
    return found


def _is_harmless(op: str) -> bool:
    if op in STATEFUL - OUTSIDE:
        return True
    definition = private.op_def(op)
    if definition is None or definition.is_stateful or op in OUTSIDE:
        return False
    return not any(family in op for family in _FAMILIES)


def _reads_own_assets(node: subgraph.NodeDef, nodes: Mapping, assets: Collection[str]) -> bool:
    if node.op != "InitializeTableFromTextFileV2":
        return True
    return len(node.input) > 1 and subgraph.tensor_name(node.input[1]) in assets


def check(
    graph_def: subgraph.GraphDef, assets: Collection[str], allowed: Collection[str], place: str, remedy: str
) -> None:
    """Raises LoadError where the graph holds ops that `refused` names and `allowed` does not."""
    found = {op: names for op, names in refused(graph_def, assets).items() if op not in allowed}
    if not found:
        return
    listed = "\n".join(f"    {op}: {quoted(names, 3)}" for op, names in sorted(found.items()))
    unknown = [op for op in found if private.op_def(op) is None]
    note = (
        f"  Not known to TensorFlow {tf.__version__}: {quoted(unknown)}; load their library first.\n" if unknown else ""
    )
    raise LoadError(
        f"{place} holds ops that could touch files, network or Python when it runs:\n{listed}\n{note}  {remedy}"
    )


def supports_jit(graph_def: subgraph.GraphDef) -> bool:
    """Returns whether XLA may be tried on the graph: no strings, no tables, no TensorFlow 1 control flow."""
    for node in subgraph.all_nodes(graph_def):
        if node.op in resource_tables.TABLE_OPS or node.op in subgraph.V1_CONTROL_FLOW or node.op in _NOT_FOR_XLA:
            return False
        if any(value.type == tf.string.as_datatype_enum for value in node.attr.values()):
            return False
    return True


_NOT_FOR_XLA = frozenset({"Unique", "UniqueV2", "UniqueWithCounts", "Print", "PrintV2", "PyFunc", "EagerPyFunc"})
