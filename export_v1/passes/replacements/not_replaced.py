"""Ops that TensorFlow 2 does not know, or cannot run on a CPU, and that nothing stands in for, each with the reason."""

from collections.abc import Mapping
from types import MappingProxyType

_REASONS: Mapping[str, str] = {
    "brings data from a service, a file system or a stream; cut the graph after it with `--input`": """
        BigQueryReader BigtableClient BigtableLookupDataset BigtablePrefixKeyDataset BigtableRangeKeyDataset
        BigtableSampleKeyPairsDataset BigtableSampleKeysDataset BigtableScanDataset BigtableTable DatasetToBigtable
        GcsConfigureBlockCache GcsConfigureCredentials GenerateBigQueryReaderPartitions IgniteDataset KafkaDataset
        KinesisDataset ObtainNext SequenceFileDataset
    """,
    "calls another process; cut the graph after it with `--input`": "RemoteFusedGraphExecute Rpc TryRpc",
    "decodes or encodes sound and video with FFmpeg, which TensorFlow 1 loaded; cut the graph after it with `--input`": """
        DecodeAudio DecodeAudioV2 DecodeVideo EncodeAudio EncodeAudioV2
    """,
    "tells how much memory a device has in use, which no answer depends on": "BytesInUse BytesLimit MaxBytesInUse",
    "moves an optimizer's state to or from a TPU, in training": """
        LoadTPUEmbeddingADAMParametersGradAccumDebug LoadTPUEmbeddingAdadeltaParametersGradAccumDebug
        LoadTPUEmbeddingAdagradParametersGradAccumDebug LoadTPUEmbeddingFTRLParametersGradAccumDebug
        LoadTPUEmbeddingMomentumParametersGradAccumDebug LoadTPUEmbeddingProximalAdagradParametersGradAccumDebug
        LoadTPUEmbeddingRMSPropParametersGradAccumDebug RetrieveTPUEmbeddingADAMParametersGradAccumDebug
        RetrieveTPUEmbeddingAdadeltaParametersGradAccumDebug RetrieveTPUEmbeddingAdagradParametersGradAccumDebug
        RetrieveTPUEmbeddingFTRLParametersGradAccumDebug RetrieveTPUEmbeddingMomentumParametersGradAccumDebug
        RetrieveTPUEmbeddingProximalAdagradParametersGradAccumDebug RetrieveTPUEmbeddingRMSPropParametersGradAccumDebug
    """,
    "is put into a graph by TensorFlow while it runs, and is in no file": """
        _MklMaximum _MklMul _MklSquaredDifference _MklSub
    """,
    "sets a variable to zeros before training; its value comes from the checkpoint": "ZeroInitializer ZeroVarInitializer",
    "draws at random: pairs for training word vectors, dots of a stereogram": """
        SingleImageRandomDotStereograms SkipGramGenerateCandidates
    """,
    "grows boosted trees, or counts for it": """
        BuildCategoricalEqualitySplits BuildDenseInequalitySplits BuildSparseInequalitySplits CenterTreeEnsembleBias
        CreateQuantileAccumulator CreateStatsAccumulatorScalar CreateStatsAccumulatorTensor GradientTreesPartitionExamples
        GrowTreeEnsemble MakeQuantileSummaries QuantileAccumulatorAddSummaries
        QuantileAccumulatorDeserialize QuantileAccumulatorFlush QuantileAccumulatorFlushSummary
        QuantileAccumulatorIsInitialized QuantileAccumulatorSerialize StatsAccumulatorScalarAdd
        StatsAccumulatorScalarDeserialize StatsAccumulatorScalarFlush StatsAccumulatorScalarIsInitialized
        StatsAccumulatorScalarMakeSummary StatsAccumulatorScalarResourceHandleOp StatsAccumulatorScalarSerialize
        StatsAccumulatorTensorAdd StatsAccumulatorTensorDeserialize StatsAccumulatorTensorFlush
        StatsAccumulatorTensorIsInitialized StatsAccumulatorTensorMakeSummary StatsAccumulatorTensorResourceHandleOp
        StatsAccumulatorTensorSerialize TreeEnsembleStats TreeEnsembleUsedHandlers
    """,
    "grows a random forest, or counts for it": """
        CreateFertileStatsVariable FeatureUsageCounts FertileStatsDeserialize FertileStatsIsInitializedOp
        FertileStatsResourceHandleOp FertileStatsSerialize FinalizeTree GrowTreeV4 ProcessInputV4 ScatterAddNdim
        TraverseTreeV4 TreeSize UpdateModelV4 TensorForestTreeSize
    """,
    "makes, saves or restores trees; a model is answered from what its checkpoint holds of them": """
        CreateTreeEnsembleVariable CreateTreeVariable DecisionTreeEnsembleResourceHandleOp DecisionTreeResourceHandleOp
        TensorForestCreateTreeVariable TensorForestTreeDeserialize TensorForestTreeIsInitializedOp
        TensorForestTreeResourceHandleOp TensorForestTreeSerialize TreeDeserialize TreeEnsembleDeserialize
        TreeEnsembleIsInitializedOp TreeEnsembleSerialize TreeEnsembleStampToken TreeIsInitializedOp TreeSerialize
    """,
    "finds quantiles of training data, or puts it into them, to grow boosted trees; the trees need neither": """
        QuantileAccumulatorGetBuckets QuantileBuckets QuantileStreamResourceHandleOp Quantiles
    """,
}

# Ops that TensorFlow 2 knows, has no kernel for on a CPU, and has nothing to stand in for: each with the reason.
_WITHOUT_KERNEL: Mapping[str, str] = {
    "tells which trees and which features led to a prediction, as serialized messages; no prediction depends on it": """
        BoostedTreesExampleDebugOutputs
    """,
    "grows boosted trees, or counts for it": """
        BoostedTreesAggregateStats BoostedTreesCalculateBestFeatureSplit
        BoostedTreesCalculateBestGainsPerFeature BoostedTreesCenterBias BoostedTreesFlushQuantileSummaries
        BoostedTreesMakeQuantileSummaries BoostedTreesMakeStatsSummary
        BoostedTreesQuantileStreamResourceAddSummaries BoostedTreesQuantileStreamResourceFlush
        BoostedTreesSparseAggregateStats BoostedTreesSparseCalculateBestFeatureSplit BoostedTreesUpdateEnsemble
        BoostedTreesUpdateEnsembleV2
    """,
    "makes, saves or restores trees and quantiles; a model is answered from what its checkpoint holds of them": """
        BoostedTreesCreateEnsemble BoostedTreesCreateQuantileStreamResource BoostedTreesDeserializeEnsemble
        BoostedTreesEnsembleResourceHandleOp BoostedTreesGetEnsembleStates
        BoostedTreesQuantileStreamResourceDeserialize BoostedTreesQuantileStreamResourceHandleOp
        BoostedTreesSerializeEnsemble IsBoostedTreesEnsembleInitialized
        IsBoostedTreesQuantileStreamResourceInitialized
    """,
    "runs on TPUs alone, or between them; what a CPU serves is in the same SavedModel under the tag `serve` alone": """
        AllToAll CollectivePermute ConfigureDistributedTPU ConfigureTPUEmbedding CrossReplicaSum
        EnqueueTPUEmbeddingIntegerBatch EnqueueTPUEmbeddingSparseBatch EnqueueTPUEmbeddingSparseTensorBatch
        InfeedDequeue InfeedDequeueTuple InfeedEnqueue InfeedEnqueuePrelinearizedBuffer InfeedEnqueueTuple
        OutfeedDequeue OutfeedDequeueTuple OutfeedEnqueue OutfeedEnqueueTuple Prelinearize PrelinearizeTuple
        RecvTPUEmbeddingActivations SendTPUEmbeddingGradients ShutdownDistributedTPU TPUCompilationResult
        TPUEmbeddingActivations TPUOrdinalSelector TPUPartitionedCall WorkerHeartbeat _ConfigureDistributedTPU
        _DisconnectHostFromDistributedTPUSystem _InitializeHostForDistributedTPU _SetGlobalTPUArray
        _ShutdownDistributedTPU _TPUReplicate _WaitForDistributedTPU _XlaRecvAtHost _XlaSendFromHost
    """,
    "moves an optimizer's state to or from a TPU, in training": """
        LoadTPUEmbeddingADAMParameters LoadTPUEmbeddingAdadeltaParameters LoadTPUEmbeddingAdagradParameters
        LoadTPUEmbeddingCenteredRMSPropParameters LoadTPUEmbeddingFTRLParameters
        LoadTPUEmbeddingMDLAdagradLightParameters LoadTPUEmbeddingMomentumParameters
        LoadTPUEmbeddingProximalAdagradParameters LoadTPUEmbeddingRMSPropParameters
        LoadTPUEmbeddingStochasticGradientDescentParameters RetrieveTPUEmbeddingADAMParameters
        RetrieveTPUEmbeddingAdadeltaParameters RetrieveTPUEmbeddingAdagradParameters
        RetrieveTPUEmbeddingCenteredRMSPropParameters RetrieveTPUEmbeddingFTRLParameters
        RetrieveTPUEmbeddingMDLAdagradLightParameters RetrieveTPUEmbeddingMomentumParameters
        RetrieveTPUEmbeddingProximalAdagradParameters RetrieveTPUEmbeddingRMSPropParameters
        RetrieveTPUEmbeddingStochasticGradientDescentParameters
    """,
    "sends values from GPU to GPU, in training on several": """
        NcclAllReduce NcclBroadcast NcclReduce _NcclBroadcastRecv _NcclBroadcastSend _NcclReduceRecv
        _NcclReduceSend
    """,
    "is the gradient of an op that only a GPU has; what stands in for the op has gradients of its own": """
        CudnnRNNBackprop CudnnRNNBackpropV2 CudnnRNNBackpropV3 MaxPoolGradGradWithArgmax
    """,
    "makes a dataset; cut the graph after it with `--input`": """
        ExperimentalMapDataset FilterByLastComponentDataset
    """,
    "is for the tests of TensorFlow itself": """
        A Attr AttrBool AttrBoolList AttrDefault AttrEmptyListDefault AttrEnum AttrEnumList AttrFloat
        AttrListDefault AttrListMin AttrListTypeDefault AttrMin AttrPartialShape AttrPartialShapeList AttrShape
        AttrShapeList AttrTypeDefault B Binary ComplexStruct CopyOp DefaultAttrs FiveFloatOutputs FloatInput
        FloatOutput FloatOutputStringOutput Foo1 Foo2 Foo3 FuncAttr FuncListAttr InPolymorphicTwice Int64Output
        IntAttr IntInput IntInputFloatInput IntInputIntOutput IntOutput IntOutputFloatOutput ListInput
        ListOutput MixedStruct NInPolymorphicTwice NInTwice NInTwoTypeVariables NIntsIn NIntsOut NIntsOutDefault
        NPolymorphicIn NPolymorphicOut NPolymorphicOutDefault NPolymorphicRestrictIn NPolymorphicRestrictOut
        None OpWithDefaultAttr OpWithFutureDefaultAttr OutT OutTypeList OutTypeListRestrict Polymorphic
        PolymorphicDefaultOut PolymorphicOut RefIn RefInputFloatInput RefInputFloatInputIntOutput
        RefInputIntInput RefOut RefOutput RefOutputFloatOutput RequiresOlderGraphVersion ReservedAttr
        ReservedInput Restrict Simple SimpleStruct StringListAttr TestStringOutput TwoFloatInputs
        TwoFloatInputsFloatOutput TwoFloatInputsIntOutput TwoFloatOutputs TwoIntInputs TwoIntOutputs TwoRefsIn
        TypeList TypeListRestrict TypeListTwice Unary
    """,
}


def _by_op(reasons: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({op: why for why, names in reasons.items() for op in names.split()})


NOT_REPLACED = _by_op(_REASONS)
WITHOUT_KERNEL = _by_op(_WITHOUT_KERNEL)
