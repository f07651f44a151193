"""SignatureModelHandler: an export for Beam's RunInference."""

import functools
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from apache_beam.ml.inference import base

from load_v2.errors import LoadError
from load_v2.program import artefact
from load_v2.program.signature import Spec
from load_v2.scoring import elements
from load_v2.scoring.scorer import BATCH_SIZE, Failure, Scorer, check_batch_size


class SignatureModelHandler(base.ModelHandler):
    """Runs a signature of an export on the elements of a PCollection.

    Elements are dicts of arrays by key, one row each without the batch dimension; tf.train.Example, plain or
    serialized; or, for a signature with a single input, arrays. Each gets a PredictionResult whose `inference` is a
    dict of arrays by output key. The model is loaded once in each worker process. For elements with keys there is
    Beam's own KeyedModelHandler.

    An element that does not fit the signature is put into a batch of its own, so that with `with_exception_handling` it
    comes out of `failed_inferences` alone, with the reason, and its neighbours get their answers. An element on which
    the graph itself fails (bytes that are no image, say) fails its batch, with a message that names it;
    `load_v2.beam.Score` singles that out, too.

    Args:
        path: folder of an export, the same on every worker.
        signature: which of its signatures.
        min_batch_size: of BatchElements; default: the same as the largest.
        max_batch_size: of BatchElements; default 256, or the graph's own where that is fixed.
        max_batch_duration_secs: of BatchElements, for streams.
        element_size_fn: of BatchElements: what an element counts.
        large_model: one model for all processes of a machine.
        model_copies: how many such models; default 1.
        env_vars: environment of the workers, such as {"TF_NUM_INTRAOP_THREADS": "1"}.
        allow_ops: ops to let run although they could touch files, network or Python.
        failures: "raise", or "return" a Failure as the `inference` of an element that has none.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        signature: str = "serving_default",
        *,
        min_batch_size: int | None = None,
        max_batch_size: int | None = None,
        max_batch_duration_secs: int | None = None,
        element_size_fn: Callable[[Any], int] | None = None,
        large_model: bool = False,
        model_copies: int | None = None,
        env_vars: Mapping[str, str] | None = None,
        allow_ops: Collection[str] = (),
        failures: str = "raise",
    ):
        if failures not in ("raise", "return"):
            raise LoadError(f"failures={failures!r} is neither 'raise' nor 'return'.")
        check_batch_size(min_batch_size, "min_batch_size")
        check_batch_size(max_batch_size, "max_batch_size")
        self._path, self._signature, self._allow_ops = os.fspath(path), signature, tuple(allow_ops)
        # Not by the base class's constructor, whose arguments differ between Beam's versions.
        self._env_vars = dict(env_vars or {})
        self._model_copies = model_copies
        self._share_across_processes = large_model or model_copies is not None
        self._returns = failures == "return"
        largest = max_batch_size or max(min_batch_size or 0, BATCH_SIZE)
        # A batch size that never varies lets one element fill a batch: see Weight.
        self._batching: dict[str, Any] = {"min_batch_size": min_batch_size or largest, "max_batch_size": largest}
        self._batching["element_size_fn"] = Weight(self._path, signature, largest, element_size_fn)
        if max_batch_duration_secs is not None:
            self._batching["max_batch_duration_secs"] = max_batch_duration_secs

    def load_model(self) -> Scorer:
        """Returns the model; called once in each worker process."""
        return Scorer.of(self._path, self._signature, self._allow_ops)

    def run_inference(
        self, batch: Sequence, model: Scorer, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[base.PredictionResult]:
        """Returns one PredictionResult for each element, in their order.

        Raises:
            LoadError: an element does not fit the signature or the graph fails on it; which and why, for each.
        """
        # One call: the model may live in another process, which takes and gives plain data.
        answers = model.elements(batch)
        self._raise(answers)
        return [base.PredictionResult(*pair, self._path) for pair in zip(batch, answers, strict=True)]

    def _raise(self, answers: list) -> None:
        failed = [answer.reason for answer in answers if isinstance(answer, Failure)]
        if failed and not self._returns:
            count = f"{len(failed)} of {len(answers)} elements fail. " if len(answers) > 1 else ""
            raise LoadError(count + "\n".join(failed[:10]))

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Returns the options of BatchElements."""
        return self._batching

    def get_num_bytes(self, batch: Sequence) -> int:
        """Returns how many bytes of data a batch has, for Beam's metrics."""
        return sum(_size(element) for element in batch)

    def get_metrics_namespace(self) -> str:
        """Returns the namespace of Beam's metrics."""
        return "load_v2"

    def validate_inference_args(self, inference_args: Mapping[str, Any] | None) -> None:
        """Refuses arguments: a signature has inputs and nothing else."""
        if inference_args:
            raise LoadError(f"A signature takes no inference_args; {sorted(inference_args)} are given.")

    def update_model_path(self, model_path: str | None = None) -> None:
        """Takes another export from now on: Beam's automatic model refresh."""
        self._path = model_path or self._path

    def share_model_across_processes(self) -> bool:
        """Returns whether the processes of a machine share models."""
        return self._share_across_processes

    def model_copies(self) -> int:
        """Returns how many models they share."""
        return self._model_copies or 1


class Weight:
    """What an element counts in a batch: one, or as many as there is room for where it does not fit.

    BatchElements closes a batch before an element that would not go into it any more, so an element that fills a batch
    is alone in one. This holds for keyed elements, too, and nowhere else does RunInference tell elements apart.
    """

    def __init__(self, path: str, signature: str, whole: int, size: Callable[[Any], int] | None):
        self._path, self._signature, self._whole, self._size = path, signature, whole, size

    def __call__(self, element: object) -> int:
        # Beam's own rule: an element that is a pair is keyed.
        value = element[1] if isinstance(element, tuple) and len(element) == 2 else element
        try:
            elements.row(value, specs_of(self._path, self._signature))
        except LoadError:
            return self._whole
        return self._size(element) if self._size else 1


@functools.lru_cache(maxsize=8)
def specs_of(path: str, signature: str) -> Mapping[str, Spec]:
    """Returns the inputs of a signature, read once in a process; scalars are declared as such.

    Raises:
        LoadError: the export or the signature is not there.
    """
    return artefact.read(path).signature_named(signature).inputs


def _size(element: object) -> int:
    if isinstance(element, bytes):
        return len(element)
    if isinstance(element, tf.train.Example):
        return element.ByteSize()
    values = element.values() if isinstance(element, Mapping) else [element]
    return sum(np.asarray(value).nbytes for value in values)
