"""Score: answers and failures of a PCollection apart, element by element."""

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference import base

from load_v2.beam.handler import SignatureModelHandler
from load_v2.scoring.scorer import Failure

# Counters of a job, under this namespace.
NAMESPACE, ANSWERED, FAILED = "load_v2", "answered", "failed"


class Score(beam.PTransform):
    """Elements, keyed or not, to their PredictionResults, and those that have none to the reasons.

    Every element comes out once, whatever is wrong with it: one that does not fit the signature, or that the graph
    fails on, loses no other.

        answers, failed = elements | Score(DIR)      # failed: (element, reason)

    Args:
        path: folder of an export.
        signature: which of its signatures.
        keyed: whether the elements are pairs of a key and an example.
        **options: of SignatureModelHandler.
    """

    def __init__(self, path, signature: str = "serving_default", *, keyed: bool = False, **options):
        super().__init__()
        handler = SignatureModelHandler(path, signature, failures="return", **options)
        self._handler = base.KeyedModelHandler(handler) if keyed else handler

    def expand(self, pcoll):
        scored = pcoll | "Answer" >> base.RunInference(self._handler)
        split = scored | "Split" >> beam.ParDo(_split).with_outputs(FAILED, main="answers")
        return split["answers"], split[FAILED]


def _split(scored):
    keyed = not isinstance(scored, base.PredictionResult)
    result = scored[1] if keyed else scored
    failed = isinstance(result.inference, Failure)
    Metrics.counter(NAMESPACE, FAILED if failed else ANSWERED).inc()
    if failed:
        element = (scored[0], result.example) if keyed else result.example
        yield beam.pvalue.TaggedOutput(FAILED, (element, result.inference.reason))
    else:
        yield scored
