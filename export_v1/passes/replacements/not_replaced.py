"""Ops that TensorFlow 2 does not know and that nothing stands in for, each with the reason."""

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

NOT_REPLACED: Mapping[str, str] = MappingProxyType({op: why for why, names in _REASONS.items() for op in names.split()})
