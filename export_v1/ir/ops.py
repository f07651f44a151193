"""TensorFlow's ops by what they mean; every set of op names that more than one module uses is here, once.

An op that TensorFlow 1 has twice, for references and for values or resources, is in a set with both names unless the
set says otherwise. A set that encodes the rule of one module (which ops end a layer, say) belongs to that module.
"""

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType


def _twins(**pairs: str) -> Mapping[str, str]:
    return MappingProxyType(pairs)


# Control flow of TensorFlow 1: nodes of the graph itself.
# Passes its data on at output 0 or 1, as a scalar bool says; the other output is dead.
SWITCHES = frozenset({"Switch", "RefSwitch"})
# Passes on whichever input is alive, as soon as it is there.
MERGES = frozenset({"Merge", "RefMerge"})
# The way into a loop's frame, and out of it.
ENTERS = frozenset({"Enter", "RefEnter"})
EXITS = frozenset({"Exit", "RefExit"})
# A loop's way back to its Merge: the only edge by which a graph may have a cycle.
WAYS_BACK = frozenset({"NextIteration", "RefNextIteration"})
V1_CONTROL_FLOW = SWITCHES | MERGES | ENTERS | EXITS | WAYS_BACK | {"LoopCond"}

# Functional control flow: a node that calls functions of the library.
IFS = frozenset({"If", "StatelessIf"})
CONDITIONALS = IFS | {"Case", "StatelessCase"}
WHILES = frozenset({"While", "StatelessWhile"})
CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})

# Values.
# Chooses between two values that are both computed.
SELECTS = frozenset({"Select", "SelectV2"})
# The output is the input, unchanged.
IDENTITIES = frozenset({"Identity", "StopGradient"})
# Gives input 0 in another shape.
RESHAPES = frozenset({"Reshape", "Squeeze", "ExpandDims"})
# Put their inputs beside each other, in their order.
JOINS = frozenset({"Concat", "ConcatV2", "Pack"})
ADDS = frozenset({"Add", "AddV2"})
# Says how large a tensor is, not what is in it.
SIZES = frozenset({"Shape", "ShapeN", "Size", "Rank"})
# Rows of input 0, by the indices of input 1.
GATHERS = frozenset({"Gather", "GatherV2", "ResourceGather"})
# Inputs are x, scale, offset, mean, variance; outputs 1 and 2 are the mean and variance of the batch when training.
BATCH_NORMS = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})

# Element by element: each element of the output is made of the elements at its place, as broadcasting has it.
ELEMENTWISE = (
    ADDS | SELECTS | IDENTITIES
    | {"Sub", "Mul", "RealDiv", "Div", "DivNoNan", "FloorDiv", "FloorMod", "Mod", "TruncateDiv", "TruncateMod", "Pow"}
    | {"MulNoNan", "Xdivy", "Xlogy", "SquaredDifference", "Maximum", "Minimum", "Atan2", "ClipByValue", "AddN"}
    | {"Less", "LessEqual", "Greater", "GreaterEqual", "Equal", "NotEqual", "ApproximateEqual"}
    | {"LogicalAnd", "LogicalOr", "LogicalNot", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Invert"}
    | {"LeftShift", "RightShift"}
    | {"Abs", "Neg", "Sign", "Square", "Sqrt", "Rsqrt", "Exp", "Expm1", "Log", "Log1p", "Inv", "Reciprocal", "Round", "Rint"}
    | {"Floor", "Ceil", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh"}
    | {"Sigmoid", "Softplus", "Softsign", "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Erf", "Erfc", "Lgamma", "Digamma"}
    | {"Cast", "Bitcast", "IsNan", "IsInf", "IsFinite", "ZerosLike", "OnesLike", "CheckNumerics", "PreventGradient"}
    | {"PlaceholderWithDefault", "Real", "Imag", "Conj", "Angle", "ComplexAbs", "Complex", "FakeQuantWithMinMaxArgs"}
    | {"FakeQuantWithMinMaxVars", "Snapshot"}
    | {"AsString", "StringJoin", "StringLower", "StringUpper", "StringStrip", "StringLength", "StringToNumber", "Substr"}
    | {"StringToHashBucket", "StringToHashBucketFast", "StringToHashBucketStrong", "RegexReplace", "StaticRegexReplace"}
    | {"RegexFullMatch", "StaticRegexFullMatch", "EncodeBase64", "DecodeBase64"}
)  # fmt: skip
# Input 0 has the batch as its first axis, and so has every output, row by row; the other inputs are parameters.
ROW_WISE = (
    {"BiasAdd", "BiasAddV1", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Dilation2D"}
    | {"MaxPool", "MaxPoolV2", "AvgPool", "MaxPool3D", "AvgPool3D", "MaxPoolWithArgmax", "FractionalMaxPool", "LRN"}
    | {"ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea", "SpaceToDepth", "DepthToSpace"}
    | {"ExtractImagePatches", "AdjustContrast", "AdjustContrastv2", "AdjustHue", "AdjustSaturation", "RGBToHSV", "HSVToRGB"}
)  # fmt: skip
# Inputs are the size of the output, the filters and the data.
TRANSPOSED_CONVOLUTIONS = frozenset(
    {"Conv2DBackpropInput", "Conv3DBackpropInputV2", "DepthwiseConv2dNativeBackpropInput"}
)
# Over the axes that input 1 names.
REDUCTIONS = frozenset(
    {"Mean", "Sum", "Max", "Min", "Prod", "All", "Any", "EuclideanNorm", "ArgMax", "ArgMin", "ReduceJoin"}
)
# Over the last axis.
OVER_LAST_AXIS = frozenset({"Softmax", "LogSoftmax", "TopK", "TopKV2", "FFT", "IFFT", "RFFT", "IRFFT", "NthElement"})

# What comes from outside the graph.
# Has no value unless it is fed.
FED = frozenset({"Placeholder", "PlaceholderV2"})
# May be fed; PlaceholderWithDefault need not be.
PLACEHOLDERS = FED | {"PlaceholderWithDefault"}
DEQUEUES = frozenset(f"QueueDequeue{many}{version}" for many in ("", "Many", "UpTo") for version in ("", "V2"))
ENQUEUES = frozenset(f"QueueEnqueue{many}{version}" for many in ("", "Many") for version in ("", "V2"))
# Put data where a later run takes them from.
FILLS = ENQUEUES | {
    *("Stage", "MapStage", "OrderedMapStage", "BarrierInsertMany", "LookupTableInsert", "LookupTableInsertV2"),
    *("AccumulatorApplyGradient", "ResourceAccumulatorApplyGradient", "SparseAccumulatorApplyGradient"),
}
ITERATOR_READS = frozenset({"IteratorGetNext", "IteratorGetNextSync"})
# Where a model's data can come in: a tensor that nothing in the graph computes.
SOURCES = FED | DEQUEUES | ITERATOR_READS | {"Unstage"}
# Brings data in without being fed.
FEEDERS = DEQUEUES | ITERATOR_READS | {"ReaderReadV2", "ReaderRead", "Unstage", "RecvTPUEmbeddingActivations"}

# Variables.
# Its output is a reference: a buffer that other ops write in place.
REF_VARIABLES = frozenset({"Variable", "VariableV2"})
VARIABLES = REF_VARIABLES | {"VarHandleOp"}
# Handle of trees that were trained: no variable, and as good as weights.
TREES = frozenset(
    {
        "BoostedTreesEnsembleResourceHandleOp",
        "DecisionTreeEnsembleResourceHandleOp",
        "DecisionTreeResourceHandleOp",
        "TensorForestTreeResourceHandleOp",
    }
)
# Passes a reference on, and the op that passes a resource on in its place.
ALIAS_TWINS = _twins(
    RefIdentity="Identity",
    RefSwitch="Switch",
    RefMerge="Merge",
    RefEnter="Enter",
    RefExit="Exit",
    RefNextIteration="NextIteration",
)
# Optimizers that change a variable in place: those with an op for the rows of one, too, and those without.
_OPTIMIZERS = (
    "Momentum", "Adagrad", "AdagradV2", "AdagradDA", "RMSProp", "CenteredRMSProp", "Adadelta", "Ftrl", "FtrlV2",
    "ProximalAdagrad", "ProximalGradientDescent",
)  # fmt: skip
_DENSE_OPTIMIZERS = ("GradientDescent", "Adam", "AdaMax", "AddSign", "PowerSign")
# Writes through a reference, and the op that writes through a resource; the inputs after the variable are the same.
WRITE_TWINS = _twins(
    Assign="AssignVariableOp",
    AssignAdd="AssignAddVariableOp",
    AssignSub="AssignSubVariableOp",
    CountUpTo="ResourceCountUpTo",
    **{f"Scatter{kind}": f"ResourceScatter{kind}" for kind in ("Update", "Add", "Sub", "Mul", "Div", "Min", "Max")},
    **{f"ScatterNd{kind}": f"ResourceScatterNd{kind}" for kind in ("Update", "Add", "Sub", "Min", "Max")},
    StridedSliceAssign="ResourceStridedSliceAssign",
    **{f"Apply{kind}": f"ResourceApply{kind}" for kind in (*_OPTIMIZERS, *_DENSE_OPTIMIZERS)},
    **{f"SparseApply{kind}": f"ResourceSparseApply{kind}" for kind in _OPTIMIZERS},
)
# Writes a variable (input 0); the steps of optimizers that have no twin are told by `is_optimizer_step`.
RESOURCE_WRITERS = frozenset(WRITE_TWINS.values())
VARIABLE_WRITERS = RESOURCE_WRITERS | WRITE_TWINS.keys()
ASSIGNS = frozenset({"Assign", "AssignVariableOp"})
ASSIGN_ADDS = frozenset({"AssignAdd", "AssignAddVariableOp"})
ASSIGN_SUBS = frozenset({"AssignSub", "AssignSubVariableOp"})
# Gives a variable's value: of a reference, of a resource.
VARIABLE_READS = frozenset({"Identity", "ReadVariableOp"})

_OPTIMIZER_STEP = re.compile(r"(Resource)?(Sparse)?Apply")


@functools.cache
def is_optimizer_step(op: str) -> bool:
    """Returns whether an op changes a variable by a gradient, as every optimizer's Apply… ops do."""
    return bool(_OPTIMIZER_STEP.match(op))


def writes_variable(op: str) -> bool:
    """Returns whether an op changes the variable that its first input is."""
    return op in VARIABLE_WRITERS or is_optimizer_step(op)


# Checkpoints.
RESTORES = frozenset({"RestoreV2", "Restore", "RestoreSlice"})
SAVES = frozenset({"SaveV2", "Save", "SaveSlices", "ShardedFilename", "MergeV2Checkpoints"})

# Lookup tables: the op of TensorFlow before 1.1, whose handle is a reference to a string, and the one of today.
_REF_TABLES = ("HashTable", "MutableHashTable", "MutableHashTableOfTensors", "MutableDenseHashTable")
_REF_TABLE_INITIALIZERS = ("InitializeTable", "InitializeTableFromTextFile", "LookupTableImport")
_REF_TABLE_USERS = ("LookupTableFind", "LookupTableInsert", "LookupTableSize", "LookupTableExport")
TABLE_TWINS = _twins(**{op: f"{op}V2" for op in (*_REF_TABLES, *_REF_TABLE_INITIALIZERS, *_REF_TABLE_USERS)})
REF_TABLES = frozenset(_REF_TABLES)
TABLES = frozenset(TABLE_TWINS[op] for op in REF_TABLES)
MUTABLE_TABLES = frozenset(op for op in REF_TABLES | TABLES if op.startswith("Mutable"))
TABLE_WRITERS = frozenset({"LookupTableInsert", "LookupTableInsertV2", "LookupTableRemoveV2"})
# Fills a table (input 0); Import is how a Saver fills a mutable one from a checkpoint.
TABLE_INITIALIZERS = frozenset(TABLE_TWINS[op] for op in _REF_TABLE_INITIALIZERS)
REF_TABLE_INITIALIZERS = frozenset(_REF_TABLE_INITIALIZERS)
TABLES_FROM_FILE = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})

# TensorArrays.
ARRAY_WRITERS = frozenset({"TensorArrayWriteV3", "TensorArrayScatterV3", "TensorArraySplitV3"})

# Random numbers.
UNIFORMS = frozenset({"RandomUniform", "StatelessRandomUniform"})
# What a model adds noise or drops values with, as training does.
NOISE = UNIFORMS | {"RandomStandardNormal", "TruncatedNormal"}
# Draw the classes that a sampled loss compares with.
SAMPLERS = frozenset(
    f"{kind}CandidateSampler"
    for kind in ("Uniform", "LogUniform", "LearnedUnigram", "All", "FixedUnigram", "ThreadUnsafeUnigram")
)
_RANDOM = (
    "Random", "TruncatedNormal", "ParameterizedTruncatedNormal", "Multinomial", "StatefulRandom", "StatefulUniform",
    "StatefulStandardNormal", "StatefulTruncatedNormal", "NonDeterministicInts", "SampleDistortedBoundingBox", "Skipgram",
    *sorted(SAMPLERS),
)  # fmt: skip


def is_random(op: str) -> bool:
    """Returns whether an op answers something else at each call, whatever its seeds. A queue that shuffles does not."""
    return op.startswith(_RANDOM) and "Queue" not in op


# Python code that the graph does not hold.
PYTHON_CALLS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
