"""A signature over Datasets of Ray, on a local cluster of two nodes' processes, beside `predict`."""

import pathlib

import numpy as np
import pytest

import export_v1
import load_v2
from tests.support import cases, tables

ray = pytest.importorskip("ray", reason="pip install -e '.[ray]'")
import pyarrow  # noqa: E402 - after what says what is missing
from ray.cluster_utils import Cluster  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

from load_v2.ray import Predictor  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.filterwarnings("ignore::FutureWarning"),
              pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.filterwarnings("ignore::UserWarning"),
              pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]  # fmt: skip


@pytest.fixture(scope="module")
def nodes():
    """Two nodes of one core each: actors of two come to lie on both."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(ROOT))
        patched.setenv("RAY_DISABLE_METRICS_COLLECTION", "1")
        room = {"num_cpus": 2, "object_store_memory": 100 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=room)
        cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def _predicted(export: pathlib.Path, arrays: dict, folder: pathlib.Path) -> dict[str, np.ndarray]:
    from load_v2.commands.predict import predict

    np.savez(folder / "in.npz", **arrays)
    predict(load_v2.SignatureLayer(str(export)), str(folder / "in.npz"), str(folder / "out.npz"))
    with np.load(folder / "out.npz") as answers:
        return dict(answers)


def _scored(table, export, **options):
    source = ray.data.from_arrow(table).repartition(8)
    more = {"fn_constructor_args": [str(export)], "batch_format": "pyarrow", "batch_size": 500, "concurrency": 2}
    return source.map_batches(Predictor, **{**more, **options})


def test_rows_on_two_nodes_with_some_that_fail(nodes, exported, tmp_path):
    numbers = np.random.default_rng(7).normal(size=[3000, 16]).astype(np.float32)
    rows: list = numbers.tolist()
    rows[5], rows[1700] = None, [1.0, 2.0]
    table = pyarrow.table({"id": np.arange(3000), "x": pyarrow.array(rows, pyarrow.list_(pyarrow.float32()))})
    export = exported("mlp_layers")
    got = sorted(_scored(table, export).take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in got] == list(range(3000))
    failed = {row["id"]: row["reason"] for row in got if row["reason"] is not None}
    assert set(failed) == {5, 1700} and "is null" in failed[5] and "2 values" in failed[1700]
    for key, values in _predicted(export, {"x": numbers}, tmp_path).items():
        assert got[5][key] is None
        answers = np.array([row[key] for row in got if row["id"] not in failed])
        np.testing.assert_allclose(answers, np.delete(values, [5, 1700], axis=0), rtol=1e-5, atol=1e-6)


class Telling(Predictor):
    """A predictor that also tells on which node it runs, and with which GPUs."""

    def __call__(self, batch):
        context = ray.get_runtime_context()
        made = super().__call__(batch)
        told = {"node": context.get_node_id(), "gpus": ",".join(context.get_accelerator_ids()["GPU"])}
        for key, value in told.items():
            made = made.append_column(key, pyarrow.array([value] * len(made), pyarrow.string()))
        return made


@pytest.mark.slow
def test_an_actor_on_each_node_and_a_gpu_for_one_that_asks(nodes, exported):
    """The GPU is a number that a node is given: what is shown is that the argument reaches the actor."""
    case = cases.load("mlp_layers")
    source = ray.data.from_arrow(tables.of(case.oracle("in")))
    options = {"fn_constructor_args": [str(exported("mlp_layers"))], "batch_format": "pyarrow", "concurrency": 1}
    own = nodes.add_node(num_cpus=1, num_gpus=1, object_store_memory=100 * 2**20)
    try:
        for node in (nodes.head_node, *nodes.worker_nodes):
            there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
            rows = source.map_batches(Telling, scheduling_strategy=there, **options).take_all()
            tables.check(rows, case)
            assert {(row["node"], row["gpus"]) for row in rows} == {(node.node_id, "")}
        rows = source.map_batches(Telling, num_gpus=1, batch_size=8, **options).take_all()
        tables.check(rows, case)
        assert {(row["node"], row["gpus"]) for row in rows} == {(own.node_id, "0")}
    finally:
        nodes.remove_node(own)


def test_each_type_there_and_back(nodes, tmp_path):
    case = cases.load("odd_every_dtype")
    export_v1.export(**case.flags(), export_dir=str(tmp_path / "export"))
    source = ray.data.from_arrow(tables.of(case.oracle("in")))
    for form in ("pyarrow", "numpy"):
        scored = source.map_batches(
            Predictor, fn_constructor_args=[str(tmp_path / "export")], batch_format=form, concurrency=1
        )  # fmt: skip
        tables.check(scored.take_all(), case)


def test_tensors_of_ray_are_one_array(nodes, exported):
    case = cases.load("mlp_layers")
    source = ray.data.from_numpy(case.oracle("in")["x"])
    for form in ("numpy", "pyarrow"):
        scored = source.map_batches(Predictor, fn_constructor_args=[str(exported("mlp_layers"))], batch_format=form,
                                    fn_constructor_kwargs={"columns": {"x": "data"}}, concurrency=1)  # fmt: skip
        got = scored.take_all()
        for key, values in case.oracle().items():
            np.testing.assert_allclose(np.array([row[key] for row in got]), values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["stacked", "objects"])
def test_strings_and_arrays_of_objects(form, exported):
    case = cases.load("lookup_vocab")
    words, expected = case.oracle("in")["words"], case.oracle()
    column = words
    if form == "objects":
        column = np.empty(len(words), dtype=object)
        column[:] = [np.array(row, dtype=object) for row in words]
    got = Predictor(exported("lookup_vocab"))({"words": column, "label": np.arange(len(words))})
    cases.assert_equal({"label": got["out/label"], "logits": got["logits"]}, expected)
    assert got["label"].tolist() == list(range(len(words))) and not any(got["reason"])


def test_rows_of_different_lengths_have_their_own_answers(exported):
    layer = load_v2.SignatureLayer(str(exported("lookup_vocab")))
    words = [[b"the"], [b"cat", b"sat", b"on"], [b"the", b"mat"]]
    got = Predictor(exported("lookup_vocab"))(pyarrow.table({"words": words}))
    for at, row in enumerate(words):
        alone = layer({"words": np.array([row], dtype=object)})
        np.testing.assert_allclose(got["logits"][at].as_py(), np.asarray(alone["logits"])[0], rtol=1e-5)


def test_what_is_wrong_is_said(exported):
    export = exported("mlp_layers")
    with pytest.raises(load_v2.LoadError, match="why"):
        Predictor(export, reason="probs")
    with pytest.raises(load_v2.LoadError, match="'y'"):
        Predictor(export, columns={"y": "a"})
    with pytest.raises(load_v2.LoadError, match="columns="):
        Predictor(export)({"xs": np.zeros([1, 16])})
    with pytest.raises(load_v2.LoadError, match="already"):
        Predictor(export)({"x": np.zeros([1, 16]), "reason": np.zeros(1)})
    with pytest.raises(load_v2.LoadError, match="batch_size=-1 is not a positive"):
        Predictor(export, batch_size=-1)
    table = pyarrow.table({"x": np.zeros([1, 16]).tolist(), "id": [7]})
    with pytest.raises(load_v2.LoadError, match="DataFrame; .*\n.*batch_format='pyarrow'"):
        Predictor(export)(table.to_pandas())
    with pytest.raises(load_v2.LoadError, match="two columns 'id'"):
        Predictor(export)(table.append_column("id", [[8]]))
    with pytest.raises(load_v2.LoadError, match="Column 'idd' .*\n  Closest: 'id'"):
        Predictor(export, keep=["idd"])(table)


def test_reasons_of_arrays_are_text_though_every_row_has_one(exported):
    got = Predictor(exported("mlp_layers"))({"x": np.zeros([2, 3], np.float32)})
    assert all(isinstance(reason, str) for reason in got["reason"]) and len(got["reason"]) == 2
