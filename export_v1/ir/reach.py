"""The ops by what they can reach: the one table of which may run in a graph from a file, and why.

It knows every op of TensorFlow that is stateful, or has a string, a function, a resource or a variant among its inputs,
outputs and attributes: by such a thing alone can an op reach a file, another process, or what this process holds. The
rest compute numbers from numbers. What the table does not know is refused, so an op of a newer TensorFlow has to be put
here before it runs; a test names those that are missing. Made from the ops that TensorFlow 2.21 registers.
"""

from typing import NamedTuple


class Group(NamedTuple):
    """Ops that are let in, or refused, for one reason."""

    reason: str
    names: str

    @property
    def ops(self) -> frozenset[str]:
        return frozenset(self.names.split())


_ALLOWED: tuple[Group, ...] = (
    Group(
        "It calls functions of the graph's library, whose nodes are looked at like any other.",
        """
        Case For If PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile
        SymbolicGradient While
        """,
    ),
    Group(
        "It makes a variable, or reads or writes the one that it is handed.",
        """
        AssignAddVariableOp AssignSubVariableOp AssignVariableOp DestroyResourceOp DestroyTemporaryVariable
        DisableCopyOnRead ReadVariableOp ResourceApplyAdaMax ResourceApplyAdadelta ResourceApplyAdagrad
        ResourceApplyAdagradDA ResourceApplyAdagradV2 ResourceApplyAdam ResourceApplyAdamWithAmsgrad
        ResourceApplyAddSign ResourceApplyCenteredRMSProp ResourceApplyFtrl ResourceApplyFtrlV2
        ResourceApplyGradientDescent ResourceApplyKerasMomentum ResourceApplyMomentum ResourceApplyPowerSign
        ResourceApplyProximalAdagrad ResourceApplyProximalGradientDescent ResourceApplyRMSProp ResourceCountUpTo
        ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterDiv ResourceScatterMax
        ResourceScatterMin ResourceScatterMul ResourceScatterNdAdd ResourceScatterNdMax ResourceScatterNdMin
        ResourceScatterNdSub ResourceScatterNdUpdate ResourceScatterSub ResourceScatterUpdate
        ResourceSparseApplyAdadelta ResourceSparseApplyAdagrad ResourceSparseApplyAdagradDA
        ResourceSparseApplyAdagradV2 ResourceSparseApplyCenteredRMSProp ResourceSparseApplyFtrl
        ResourceSparseApplyFtrlV2 ResourceSparseApplyKerasMomentum ResourceSparseApplyMomentum
        ResourceSparseApplyProximalAdagrad ResourceSparseApplyProximalGradientDescent ResourceSparseApplyRMSProp
        ResourceStridedSliceAssign TemporaryVariable VarHandleOp VarIsInitializedOp Variable VariableShape
        VariableV2 _ReadVariablesOp
        """,
    ),
    Group(
        "It makes, fills or reads a table in memory.",
        """
        AnonymousHashTable AnonymousMutableDenseHashTable AnonymousMutableHashTable
        AnonymousMutableHashTableOfTensors HashTable HashTableV2 InitializeTable InitializeTableV2
        LookupTableExport LookupTableExportV2 LookupTableFind LookupTableFindV2 LookupTableImport
        LookupTableImportV2 LookupTableInsert LookupTableInsertV2 LookupTableRemoveV2 LookupTableSize
        LookupTableSizeV2 MutableDenseHashTable MutableDenseHashTableV2 MutableHashTable
        MutableHashTableOfTensors MutableHashTableOfTensorsV2 MutableHashTableV2
        """,
    ),
    Group(
        "It draws random numbers; its state is a seed, or a variable that it is handed.",
        """
        AllCandidateSampler LearnedUnigramCandidateSampler LogUniformCandidateSampler Multinomial
        NonDeterministicInts ParameterizedTruncatedNormal RandomCrop RandomGamma RandomPoisson RandomPoissonV2
        RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip
        SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 StatefulRandomBinomial StatefulStandardNormal
        StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt
        StatefulUniformInt StatelessRandomGetAlg ThreadUnsafeUnigramCandidateSampler TruncatedNormal
        UniformCandidateSampler
        """,
    ),
    Group(
        "Its arrays, lists, maps, stacks, and sparse or ragged values last as long as the call.",
        """
        CSRSparseMatrixComponents CSRSparseMatrixToDense CSRSparseMatrixToSparseTensor DenseToCSRSparseMatrix
        EmptyTensorList EmptyTensorMap OptionalFromValue OptionalGetValue OptionalHasValue OptionalNone
        RaggedCross RaggedTensorFromVariant RaggedTensorToTensor RaggedTensorToVariant
        RaggedTensorToVariantGradient SparseMatrixAdd SparseMatrixMatMul SparseMatrixMul SparseMatrixNNZ
        SparseMatrixOrderingAMD SparseMatrixSoftmax SparseMatrixSoftmaxGrad SparseMatrixSparseCholesky
        SparseMatrixSparseMatMul SparseMatrixTranspose SparseMatrixZeros SparseTensorToCSRSparseMatrix Stack
        StackClose StackCloseV2 StackPop StackPopV2 StackPush StackPushV2 StackV2 TensorArray TensorArrayClose
        TensorArrayCloseV2 TensorArrayCloseV3 TensorArrayConcat TensorArrayConcatV2 TensorArrayConcatV3
        TensorArrayGather TensorArrayGatherV2 TensorArrayGatherV3 TensorArrayGrad TensorArrayGradV2
        TensorArrayGradV3 TensorArrayGradWithShape TensorArrayPack TensorArrayRead TensorArrayReadV2
        TensorArrayReadV3 TensorArrayScatter TensorArrayScatterV2 TensorArrayScatterV3 TensorArraySize
        TensorArraySizeV2 TensorArraySizeV3 TensorArraySplit TensorArraySplitV2 TensorArraySplitV3
        TensorArrayUnpack TensorArrayV2 TensorArrayV3 TensorArrayWrite TensorArrayWriteV2 TensorArrayWriteV3
        TensorListConcat TensorListConcatLists TensorListConcatV2 TensorListElementShape TensorListFromTensor
        TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
        TensorListPushBackBatch TensorListReserve TensorListResize TensorListScatter
        TensorListScatterIntoExistingList TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack
        TensorMapErase TensorMapHasKey TensorMapInsert TensorMapLookup TensorMapSize TensorMapStackKeys
        """,
    ),
    Group(
        "It computes with strings, or decodes and encodes them, and follows none to a file.",
        """
        Add AsString BoostedTreesCalculateBestFeatureSplit BoostedTreesCalculateBestFeatureSplitV2
        BoostedTreesSparseCalculateBestFeatureSplit DecodeAndCropJpeg DecodeBase64 DecodeBmp DecodeCSV
        DecodeCompressed DecodeGif DecodeImage DecodeJSONExample DecodeJpeg DecodeJxl DecodePaddedRaw DecodePng
        DecodeRaw DecodeWav DecodeWebP DenseToDenseSetOperation DenseToSparseSetOperation DeserializeManySparse
        DeserializeSparse EncodeBase64 EncodeJpeg EncodeJpegVariableQuality EncodePng EncodeWav ExtractJpegShape
        Fingerprint ParseExample ParseExampleV2 ParseSequenceExample ParseSequenceExampleV2 ParseSingleExample
        ParseSingleSequenceExample ParseTensor ReduceJoin RegexFullMatch RegexReplace Reverse ReverseV2
        SdcaFprint SerializeManySparse SerializeSparse SerializeTensor SetSize ShardedFilename ShardedFilespec
        SparseCross SparseCrossHashed SparseCrossV2 SparseToSparseSetOperation StaticRegexFullMatch
        StaticRegexReplace StringFormat StringJoin StringLength StringLower StringNGrams StringSplit
        StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast StringToHashBucketStrong
        StringToNumber StringUpper Substr UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeTranscode
        UnsortedSegmentJoin
        """,
    ),
    Group(
        "Its state is cuDNN's own: the plan of a recurrent network, and dropout's seed.",
        """
        CudnnRNN CudnnRNNBackprop CudnnRNNBackpropV2 CudnnRNNBackpropV3 CudnnRNNV2 CudnnRNNV3
        """,
    ),
    Group(
        "Its strings choose a way to compute, or are shown; it is stateful only so that it is not moved or computed ahead.",
        """
        AddN Assert CheckNumerics CheckNumericsV2 Conj DataFormatDimMap DataFormatVecPermute DeepCopy Einsum
        Empty Enter ExtractGlimpse ExtractGlimpseV2 GatherNd GuaranteeConst ImageProjectiveTransformV2
        ImageProjectiveTransformV3 PreventGradient Print RefEnter ScaleAndTranslate ScaleAndTranslateGrad
        ScatterNd ScatterNdAdd ScatterNdMax ScatterNdMin ScatterNdNonAliasingAdd ScatterNdSub ScatterNdUpdate
        TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate
        UniformQuantizedConvolution UniformQuantizedConvolutionHybrid _FusedBatchNormEx _FusedBatchNormGradEx
        _FusedConv2D _FusedConv3D _FusedDepthwiseConv2dNative _FusedMatMul _FusedQuantizedConv2D
        _FusedQuantizedDepthwiseConv2D _QuantizedMatMul
        """,
    ),
)  # fmt: skip

_REFUSED: tuple[Group, ...] = (
    Group(
        "It reads or writes files, or takes a path.",
        """
        DTensorRestoreV2 DatasetToTFRecord DecodeProtoV2 DistributedSave DumpTensor EncodeProto
        ExperimentalDatasetToTFRecord FileSystemSetConfiguration FixedLengthRecordReader
        FixedLengthRecordReaderV2 FixedUnigramCandidateSampler GenerateVocabRemapping IdentityReader
        IdentityReaderV2 ImmutableConst LMDBReader LoadAndRemapMatrix MatchingFiles MergeV2Checkpoints NegTrain
        PrintV2 ReadFile ReaderNumRecordsProduced ReaderNumRecordsProducedV2 ReaderNumWorkUnitsCompleted
        ReaderNumWorkUnitsCompletedV2 ReaderRead ReaderReadUpTo ReaderReadUpToV2 ReaderReadV2 ReaderReset
        ReaderResetV2 ReaderRestoreState ReaderRestoreStateV2 ReaderSerializeState ReaderSerializeStateV2
        RecordInput Restore RestoreSlice RestoreV2 Save SaveSlices SaveV2 Skipgram SnapshotDatasetReader
        SnapshotNestedDatasetReader TFRecordReader TFRecordReaderV2 TextLineReader TextLineReaderV2
        WholeFileReader WholeFileReaderV2 WriteFile
        """,
    ),
    Group(
        "It reads files, or runs functions in threads of its own, or keeps what its caller cannot see.",
        """
        AnonymousIterator AnonymousIteratorV2 AnonymousIteratorV3 AnonymousMemoryCache
        AnonymousMultiDeviceIterator AnonymousMultiDeviceIteratorV3 AnonymousRandomSeedGenerator
        AnonymousSeedGenerator AssertCardinalityDataset AssertNextDataset AssertPrevDataset AutoShardDataset
        BatchDataset BatchDatasetV2 BytesProducedStatsDataset CSVDataset CSVDatasetV2 CacheDataset
        CacheDatasetV2 ChooseFastestBranchDataset ChooseFastestDataset CompressElement ComputeBatchSize
        ConcatenateDataset DataServiceDataset DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4
        DatasetCardinality DatasetFingerprint DatasetFromGraph DatasetToGraph DatasetToGraphV2
        DatasetToSingleElement DeleteIterator DeleteMemoryCache DeleteMultiDeviceIterator
        DeleteRandomSeedGenerator DeleteSeedGenerator DenseToSparseBatchDataset DeserializeIterator
        DirectedInterleaveDataset ExperimentalAssertNextDataset ExperimentalAutoShardDataset
        ExperimentalBytesProducedStatsDataset ExperimentalCSVDataset ExperimentalChooseFastestDataset
        ExperimentalDatasetCardinality ExperimentalDenseToSparseBatchDataset
        ExperimentalDirectedInterleaveDataset ExperimentalGroupByReducerDataset ExperimentalGroupByWindowDataset
        ExperimentalIgnoreErrorsDataset ExperimentalIteratorGetDevice ExperimentalLMDBDataset
        ExperimentalLatencyStatsDataset ExperimentalMapAndBatchDataset ExperimentalMapDataset
        ExperimentalMatchingFilesDataset ExperimentalMaxIntraOpParallelismDataset
        ExperimentalNonSerializableDataset ExperimentalParallelInterleaveDataset ExperimentalParseExampleDataset
        ExperimentalPrivateThreadPoolDataset ExperimentalRandomDataset ExperimentalRebatchDataset
        ExperimentalScanDataset ExperimentalSetStatsAggregatorDataset ExperimentalSleepDataset
        ExperimentalSlidingWindowDataset ExperimentalSqlDataset ExperimentalStatsAggregatorHandle
        ExperimentalTakeWhileDataset ExperimentalThreadPoolDataset ExperimentalThreadPoolHandle
        ExperimentalUnbatchDataset ExperimentalUniqueDataset FilterByLastComponentDataset FilterDataset
        FinalizeDataset FixedLengthRecordDataset FixedLengthRecordDatasetV2 FlatMapDataset GeneratorDataset
        GetElementAtIndex GetOptions GlobalShuffleDataset GroupByReducerDataset GroupByWindowDataset
        IgnoreErrorsDataset IndexFlatMapDataset InitializeTableFromDataset InterleaveDataset Iterator
        IteratorFromStringHandle IteratorFromStringHandleV2 IteratorGetDevice IteratorGetModelProto
        IteratorGetNext IteratorGetNextAsOptional IteratorGetNextSync IteratorToStringHandle IteratorV2
        LMDBDataset LatencyStatsDataset LegacyParallelInterleaveDatasetV2 ListDataset ListSnapshotChunksDataset
        LoadDataset MakeIterator MapAndBatchDataset MapDataset MapDefun MatchingFilesDataset
        MaxIntraOpParallelismDataset ModelDataset MultiDeviceIterator MultiDeviceIteratorFromStringHandle
        MultiDeviceIteratorGetNextFromShard MultiDeviceIteratorInit MultiDeviceIteratorToStringHandle
        NonSerializableDataset OneShotIterator OptimizeDataset OptimizeDatasetV2 OptionsDataset
        PaddedBatchDataset PaddedBatchDatasetV2 ParallelBatchDataset ParallelFilterDataset
        ParallelInterleaveDataset ParallelInterleaveDatasetV2 ParallelInterleaveDatasetV3
        ParallelInterleaveDatasetV4 ParallelMapDataset ParallelMapDatasetV2 ParseExampleDataset
        ParseExampleDatasetV2 PrefetchDataset PrivateThreadPoolDataset RandomDataset RandomDatasetV2
        RangeDataset RebatchDataset RebatchDatasetV2 ReduceDataset RegisterDataset RegisterDatasetV2
        RepeatDataset RewriteDataset RiscCondition RiscWhile SamplingDataset SaveDataset SaveDatasetV2
        ScanDataset SerializeIterator SetStatsAggregatorDataset ShardDataset ShuffleAndRepeatDataset
        ShuffleAndRepeatDatasetV2 ShuffleDataset ShuffleDatasetV2 ShuffleDatasetV3 SkipDataset SleepDataset
        SlidingWindowDataset SnapshotChunkDataset SnapshotDataset SnapshotDatasetV2 SparseTensorSliceDataset
        SqlDataset StatsAggregatorHandle StatsAggregatorHandleV2 TFRecordDataset TFRecordDatasetV2 TakeDataset
        TakeWhileDataset TensorDataset TensorSliceDataset TextLineDataset ThreadPoolDataset ThreadPoolHandle
        UnbatchDataset UncompressElement UniqueDataset UnwrapDatasetVariant WeightedFlatMapDataset WindowDataset
        WrapDatasetVariant ZipDataset
        """,
    ),
    Group(
        "It calls Python.",
        """
        EagerPyFunc PyFunc PyFuncStateless
        """,
    ),
    Group(
        "It writes events, or values for a debugger, to a file or an address.",
        """
        AudioSummary AudioSummaryV2 BoostedTreesExampleDebugOutputs CloseSummaryWriter Copy CopyHost
        CreateSummaryDbWriter CreateSummaryFileWriter DebugGradientIdentity DebugGradientRefIdentity
        DebugIdentity DebugIdentityV2 DebugIdentityV3 DebugNanCount DebugNumericSummary DebugNumericSummaryV2
        ExperimentalStatsAggregatorSummary FlushSummaryWriter HistogramSummary ImageSummary ImportEvent
        MergeSummary ScalarSummary StatsAggregatorSetSummaryWriter StatsAggregatorSummary SummaryWriter
        TensorSummary TensorSummaryV2 WriteAudioSummary WriteGraphSummary WriteHistogramSummary
        WriteImageSummary WriteRawProtoSummary WriteScalarSummary WriteSummary
        """,
    ),
    Group(
        "It talks to other processes, or waits for them.",
        """
        CollectiveAllToAllV2 CollectiveAllToAllV3 CollectiveAssignGroupV2 CollectiveBcastRecv
        CollectiveBcastRecvV2 CollectiveBcastSend CollectiveBcastSendV2 CollectiveGather CollectiveGatherV2
        CollectiveInitializeCommunicator CollectivePermute CollectiveReduce CollectiveReduceScatterV2
        CollectiveReduceV2 CollectiveReduceV3 DeleteRpcFutureResource NcclAllReduce NcclBroadcast NcclReduce
        Recv RemoteCall RpcCall RpcCheckStatus RpcClient RpcGetValue RpcServer RpcServerRegister RpcServerStart
        Send
        """,
    ),
    Group(
        "It drives accelerators, or lays tensors out over several.",
        """
        AllToAll CollateTPUEmbeddingMemory ComputeDedupDataSize ComputeDedupDataSizeV2 ComputeDedupDataTupleMask
        ComputeDedupDataTupleMaskV2 ConfigureAndInitializeGlobalTPU ConfigureDistributedTPU
        ConfigureTPUEmbedding ConfigureTPUEmbeddingHost ConfigureTPUEmbeddingMemory ConnectTPUEmbeddingHosts
        ConvertToCooTensor ConvertToListOfSparseCoreCooTensors ConvertToSparseCoreCsrWrappedCooTensor CopyToMesh
        CrossReplicaSum DTensorAllGather DTensorAllReduce DTensorAllScatter DTensorAllToAll DTensorReduceScatter
        DTensorSetGlobalTPUArray DeviceIndex DynamicEnqueueTPUEmbeddingArbitraryTensorBatch
        DynamicEnqueueTPUEmbeddingRaggedTensorBatch EnqueueTPUEmbeddingArbitraryTensorBatch
        EnqueueTPUEmbeddingBatch EnqueueTPUEmbeddingIntegerBatch EnqueueTPUEmbeddingRaggedTensorBatch
        EnqueueTPUEmbeddingSparseBatch EnqueueTPUEmbeddingSparseTensorBatch ExecuteTPUEmbeddingPartitioner
        FinalizeTPUEmbedding FinalizeTPUEmbeddingV2 GetMinibatchSplitsWithPhysicalReplica
        GetMinibatchesInCsrWithPhysicalReplica GetStatsFromListOfSparseCoreCooTensors GetTpuTaskId GlobalIterId
        InfeedDequeue InfeedDequeueTuple InfeedEnqueue InfeedEnqueuePrelinearizedBuffer InfeedEnqueueTuple
        IsTPUEmbeddingInitialized LoadAllTPUEmbeddingParameters LoadTPUEmbeddingADAMParameters
        LoadTPUEmbeddingAdadeltaParameters LoadTPUEmbeddingAdagradMomentumParameters
        LoadTPUEmbeddingAdagradParameters LoadTPUEmbeddingCenteredRMSPropParameters
        LoadTPUEmbeddingFTRLParameters LoadTPUEmbeddingFrequencyEstimatorParameters
        LoadTPUEmbeddingMDLAdagradLightParameters LoadTPUEmbeddingMomentumParameters
        LoadTPUEmbeddingProximalAdagradParameters LoadTPUEmbeddingProximalYogiParameters
        LoadTPUEmbeddingRMSPropParameters LoadTPUEmbeddingStochasticGradientDescentParameters MergeDedupData
        OutfeedDequeue OutfeedDequeueTuple OutfeedDequeueTupleV2 OutfeedDequeueV2 OutfeedEnqueue
        OutfeedEnqueueTuple Prelinearize PrelinearizeTuple RecvTPUEmbeddingActivations Relayout
        RetrieveAllTPUEmbeddingParameters RetrieveTPUEmbeddingADAMParameters
        RetrieveTPUEmbeddingAdadeltaParameters RetrieveTPUEmbeddingAdagradMomentumParameters
        RetrieveTPUEmbeddingAdagradParameters RetrieveTPUEmbeddingCenteredRMSPropParameters
        RetrieveTPUEmbeddingFTRLParameters RetrieveTPUEmbeddingFrequencyEstimatorParameters
        RetrieveTPUEmbeddingMDLAdagradLightParameters RetrieveTPUEmbeddingMomentumParameters
        RetrieveTPUEmbeddingProximalAdagradParameters RetrieveTPUEmbeddingProximalYogiParameters
        RetrieveTPUEmbeddingRMSPropParameters RetrieveTPUEmbeddingStochasticGradientDescentParameters
        SendTPUEmbeddingGradients ShutdownDistributedTPU ShutdownTPUSystem SortListOfSparseCoreCooTensors
        SplitDedupData StoreMinibatchStatisticsInFdo SyncDevice TPUAnnotateTensorsWithDynamicShape
        TPUCompilationResult TPUCompile TPUCompileSucceededAssert TPUCopyWithDynamicShape TPUDummyInput
        TPUEmbeddingActivations TPUExecute TPUExecuteAndUpdateVariables TPUOrdinalSelector TPUPartitionedCall
        TPUPartitionedInput TPUPartitionedInputV2 TPUPartitionedOutput TPUPartitionedOutputV2
        TPUReplicateMetadata TPUReplicatedInput TPUReplicatedOutput TPUReshardVariables TPURoundRobin
        TpuHandleToProtoKey UpdateTaskIdAndGlobalCoreArray WorkerHeartbeat XlaRecvTPUEmbeddingActivations
        XlaRecvTPUEmbeddingActivationsV2 XlaRecvTPUEmbeddingDeduplicationData
        XlaRecvTPUEmbeddingDeduplicationDataV2 XlaSendTPUEmbeddingGradients XlaSendTPUEmbeddingGradientsV2
        XlaSparseCoreAdagrad XlaSparseCoreAdagradMomentum XlaSparseCoreAdam XlaSparseCoreFtrl XlaSparseCoreSgd
        """,
    ),
    Group(
        "It compiles, or calls code of the process by its name.",
        """
        AssignVariableXlaConcatND ReadVariableXlaSplitND XlaAllReduce XlaBroadcastHelper XlaCallModule
        XlaClusterOutput XlaConcatND XlaConv XlaConvV2 XlaCustomCall XlaCustomCallV2 XlaDequantize XlaDot
        XlaDotV2 XlaDynamicSlice XlaDynamicUpdateSlice XlaEinsum XlaGather XlaHostCompute XlaIf XlaKeyValueSort
        XlaLaunch XlaLaunchV2 XlaOptimizationBarrier XlaPad XlaRecv XlaRecvFromHost XlaReduce XlaReducePrecision
        XlaReduceScatter XlaReduceWindow XlaRemoveDynamicDimensionSize XlaReplicaId XlaRngBitGenerator
        XlaScatter XlaSelectAndScatter XlaSelfAdjointEig XlaSend XlaSendToHost XlaSetBound
        XlaSetDynamicDimensionSize XlaSharding XlaSort XlaSparseActivationsUnstack XlaSparseDenseMatmul
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradMomentumAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdamAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithFtrlAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithSgdAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcWithCsrInput XlaSparseDenseMatmulGradWithAdagradAndCsrInput
        XlaSparseDenseMatmulGradWithAdagradAndStaticBufferSize
        XlaSparseDenseMatmulGradWithAdagradMomentumAndCsrInput
        XlaSparseDenseMatmulGradWithAdagradMomentumAndStaticBufferSize
        XlaSparseDenseMatmulGradWithAdamAndCsrInput XlaSparseDenseMatmulGradWithAdamAndStaticBufferSize
        XlaSparseDenseMatmulGradWithCsrInput XlaSparseDenseMatmulGradWithFtrlAndCsrInput
        XlaSparseDenseMatmulGradWithFtrlAndStaticBufferSize XlaSparseDenseMatmulGradWithSgdAndCsrInput
        XlaSparseDenseMatmulGradWithSgdAndStaticBufferSize XlaSparseDenseMatmulWithCsrInput
        XlaSparseDenseMatmulWithStaticBufferSize XlaSparseGradientsStack XlaSplitND XlaSpmdFullToShardShape
        XlaSpmdShardToFullShape XlaSvd XlaVariadicReduce XlaVariadicReduceV2 XlaVariadicSort XlaWhile
        """,
    ),
    Group(
        "It builds an engine of another library, or runs one that is written out in an attribute.",
        """
        CreateTRTResourceHandle GetCalibrationDataOp InitializeTRTResource SerializeTRTResource TRTEngineOp
        TfLiteSubgraphExecute
        """,
    ),
    Group(
        "It waits for another thread, perhaps forever, or keeps what one left.",
        """
        AccumulatorApplyGradient AccumulatorNumAccumulated AccumulatorSetGlobalStep AccumulatorTakeGradient
        Barrier BarrierClose BarrierIncompleteSize BarrierInsertMany BarrierReadySize BarrierTakeMany Batch
        BatchFunction ConditionalAccumulator ConsumeMutexLock FIFOQueue FIFOQueueV2 MapClear MapIncompleteSize
        MapPeek MapSize MapStage MapUnstage MapUnstageNoKey MutexLock MutexV2 OrderedMapClear
        OrderedMapIncompleteSize OrderedMapPeek OrderedMapSize OrderedMapStage OrderedMapUnstage
        OrderedMapUnstageNoKey PaddingFIFOQueue PaddingFIFOQueueV2 PriorityQueue PriorityQueueV2 QueueClose
        QueueCloseV2 QueueDequeue QueueDequeueMany QueueDequeueManyV2 QueueDequeueUpTo QueueDequeueUpToV2
        QueueDequeueV2 QueueEnqueue QueueEnqueueMany QueueEnqueueManyV2 QueueEnqueueV2 QueueIsClosed
        QueueIsClosedV2 QueueSize QueueSizeV2 RandomShuffleQueue RandomShuffleQueueV2
        ResourceAccumulatorApplyGradient ResourceAccumulatorNumAccumulated ResourceAccumulatorSetGlobalStep
        ResourceAccumulatorTakeGradient ResourceConditionalAccumulator SleepIdentityOp SleepOp
        SparseAccumulatorApplyGradient SparseAccumulatorTakeGradient SparseConditionalAccumulator Stage
        StageClear StagePeek StageSize Timestamp Unbatch UnbatchGrad Unstage WindowOp
        """,
    ),
    Group(
        "It reads or changes what the process holds under a name, or ends the process.",
        """
        Abort AddManySparseToTensorsMap AddSparseToTensorsMap BoostedTreesCenterBias BoostedTreesCreateEnsemble
        BoostedTreesCreateQuantileStreamResource BoostedTreesDeserializeEnsemble
        BoostedTreesEnsembleResourceHandleOp BoostedTreesFlushQuantileSummaries BoostedTreesGetEnsembleStates
        BoostedTreesPredict BoostedTreesQuantileStreamResourceAddSummaries
        BoostedTreesQuantileStreamResourceDeserialize BoostedTreesQuantileStreamResourceFlush
        BoostedTreesQuantileStreamResourceGetBucketBoundaries BoostedTreesQuantileStreamResourceHandleOp
        BoostedTreesSerializeEnsemble BoostedTreesTrainingPredict BoostedTreesUpdateEnsemble
        BoostedTreesUpdateEnsembleV2 CompositeTensorVariantFromComponents CompositeTensorVariantToComponents
        DeleteSessionTensor GetSessionHandle GetSessionHandleV2 GetSessionTensor
        IsBoostedTreesEnsembleInitialized IsBoostedTreesQuantileStreamResourceInitialized Snapshot
        TakeManySparseFromTensorsMap
        """,
    ),
    Group(
        "TensorFlow makes it while it runs a graph, and its kernel trusts what it is given; no file has it.",
        """
        _Arg _ConfigureDistributedTPU _DeviceArg _DeviceRetval _DisconnectHostFromDistributedTPUSystem _HostRecv
        _HostSend _If _InitializeHostForDistributedTPU _MklEinsum _MklFusedBatchMatMulV2 _MklFusedBatchNorm
        _MklFusedBatchNormEx _MklFusedBatchNormGrad _MklFusedConv2D _MklFusedDepthwiseConv2dNative
        _MklFusedInstanceNorm _MklFusedMatMul _MklNativeFusedBatchNorm _MklNativeFusedBatchNormEx
        _MklNativeFusedBatchNormGrad _MklNativeFusedConv2D _MklNativeFusedConv3D
        _MklNativeFusedDepthwiseConv2dNative _MklNativeFusedMatMul _MklNativePadWithFusedConv2D
        _MklNativeSparseMatrixMatMul _MklPadWithFusedConv2D _MklQuantizedConv2D _MklQuantizedConv2DAndRelu
        _MklQuantizedConv2DAndReluAndRequantize _MklQuantizedConv2DAndRequantize _MklQuantizedConv2DPerChannel
        _MklQuantizedConv2DWithBias _MklQuantizedConv2DWithBiasAndRelu
        _MklQuantizedConv2DWithBiasAndReluAndRequantize _MklQuantizedConv2DWithBiasAndRequantize
        _MklQuantizedConv2DWithBiasSignedSumAndReluAndRequantize _MklQuantizedConv2DWithBiasSumAndRelu
        _MklQuantizedConv2DWithBiasSumAndReluAndRequantize _MklQuantizedDepthwiseConv2D
        _MklQuantizedDepthwiseConv2DWithBias _MklQuantizedDepthwiseConv2DWithBiasAndRelu
        _MklQuantizedDepthwiseConv2DWithBiasAndReluAndRequantize _NcclBroadcastRecv _NcclBroadcastSend
        _NcclReduceRecv _NcclReduceSend _ParallelConcatStart _Recv _Retval _ScopedAllocator
        _ScopedAllocatorConcat _ScopedAllocatorSplit _Send _SetGlobalTPUArray _ShutdownDistributedTPU
        _TPUCompileMlir _TPUReplicate _UnaryOpsComposition _VarHandlesOp _WaitForDistributedTPU _While
        _XlaAotOnlyVarHandleOp _XlaCompile _XlaCompileMlirPlaceholderProgramKey _XlaHostComputeMlir _XlaMerge
        _XlaRecvAtHost _XlaRecvAtHostV2 _XlaRun _XlaSendFromHost _XlaSendFromHostV2 __MklDummyPadWithFusedConv2D
        """,
    ),
    Group(
        "It is there for TensorFlow's own tests and tools.",
        """
        AttrDefault CalibrationStatisticsSaver CustomAggregator DefaultAttrs DevicePlacementOp
        DtypeWithDefaultOp DummyIterationCounter DummyMemoryCache DummySeedGenerator Fact FakeQueue
        FloatOutputStringOutput Foo2 Foo3 FuncAttr FuncListAttr GraphDefVersion IsResourceHandleRefCounting
        IsTensorFloat32Enabled KernelLabel KernelLabelRequired MakeWeakResourceHandle MlirPassthroughOp NInTwice
        NPolymorphicRestrictIn NPolymorphicRestrictOut Namespace>TestStringOutput OutTypeListRestrict
        RequiresOlderGraphVersion ResourceCreateOp ResourceInitializedOp ResourceUsingOp Restrict StringListAttr
        StubResourceHandleOp TestAttr TestStringOutput TypeListRestrict
        """,
    ),
)  # fmt: skip

ALLOWED: dict[str, str] = {op: group.reason for group in _ALLOWED for op in group.ops}
REFUSED: dict[str, str] = {op: group.reason for group in _REFUSED for op in group.ops}
