"""One element held against a signature: what fits, and what is said of what does not. Needs no Beam."""

import decimal
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import load_v2
from load_v2.program.signature import Spec
from load_v2.scoring import elements

IMAGE = {"image": Spec("image:0", "float32", (None, 2, 3)), "id": Spec("id:0", "int64", (None,))}
WORDS = {"words": Spec("words:0", "string", (None, None))}
RECORDS = {"examples": Spec("examples:0", "string", (None,))}


def _example(**values) -> tf.train.Example:
    made = tf.train.Example()
    for key, value in values.items():
        feature = made.features.feature[key]
        kind = {float: feature.float_list, int: feature.int64_list, bytes: feature.bytes_list}[type(value[0])]
        kind.value.extend(value)
    return made


def test_a_dict_of_arrays_is_one_row():
    row = elements.row({"id": 7, "image": np.ones([2, 3])}, IMAGE)
    assert row["image"].dtype == np.float32 and row["image"].shape == (2, 3)
    assert row["id"].dtype == np.int64 and row["id"].shape == () and row["id"] == 7


@pytest.mark.parametrize("serialized", [False, True])
def test_an_example_is_put_into_shape(serialized):
    example = _example(image=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], id=[7], other=[b"kept elsewhere"])
    row = elements.row(example.SerializeToString() if serialized else example, IMAGE)
    np.testing.assert_array_equal(row["image"], [[1, 2, 3], [4, 5, 6]])
    assert row["id"] == 7


def test_a_size_that_is_open_is_the_example_s():
    assert elements.row(_example(words=[b"a", b"b"]), WORDS)["words"].tolist() == [b"a", b"b"]
    assert elements.row({"words": ["a", "ü", "c"]}, WORDS)["words"].tolist() == [b"a", "ü".encode(), b"c"]


def test_a_signature_that_takes_records_gets_them_as_they_are():
    record = _example(anything=[1]).SerializeToString()
    assert elements.row(record, RECORDS)["examples"].item() == record
    assert elements.row(tf.train.Example.FromString(record), RECORDS)["examples"].item() == record


def test_an_array_is_the_row_of_the_only_input():
    assert elements.row(np.array([b"x", b"y"]), WORDS)["words"].shape == (2,)


@pytest.mark.parametrize(
    "element, said",
    [
        (
            {"id": 7, "image": np.ones([3, 2])},
            r"Record \{id=7\}: input 'image' is \[3, 2\]; .*float32 \[None, 2, 3\], .*\[2, 3\]",
        ),
        ({"id": 7}, r"input 'image' is missing; it has 'id'"),
        ({"id": 7, "imag": np.ones([2, 3])}, r"input 'image' is missing.*Closest: 'imag'"),
        (
            {"id": 7, "image": np.ones([2, 3]), "more": 1},
            r"it has 'more', which the signature does not take; it takes 'id', 'image'",
        ),
        ({"id": 1.5, "image": np.ones([2, 3])}, r"input 'id' is float64; the signature has int64 \[None\]"),
        ({"id": "7", "image": np.ones([2, 3])}, r"Record \{id='7'\}: input 'id' is string; the signature has int64"),
        ({"id": None, "image": np.ones([2, 3])}, r"input 'id' is null; the signature has int64"),
        ({"id": {}, "image": np.ones([2, 3])}, r"input 'id' is of type dict"),
        ({"id": 7, "image": [[1, 2], [3]]}, r"input 'image' is no array: .*the signature has float32"),
        (_example(image=[1.0, 2.0], id=[7]), r"Record \{id=7.*\}: input 'image' has 2 values; one row .* is \[2, 3\]"),
        (_example(image=[1.0] * 6), r"input 'id' is missing; it has 'image'"),
        (b"no example at all", r"Record of 17 bytes, .*: its bytes are not a serialized tf.train.Example"),
        (3.0, r"it has type float; the signature takes 2 inputs: 'id', 'image'"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(element, said):
    with pytest.raises(load_v2.LoadError, match="(?s)" + said):
        elements.row(element, IMAGE)


FLAGS = {"flag": Spec("f:0", "bool", (None,)), "ids": Spec("i:0", "int64", (None, None))}


def test_a_kind_may_widen_and_never_lose_its_meaning():
    row = elements.row({"flag": 1, "ids": []}, FLAGS)
    assert row["flag"].dtype == bool and row["flag"] and row["ids"].dtype == np.int64, "nothing at all is of any type"
    assert elements.row({"flag": False, "ids": [True]}, FLAGS)["ids"].tolist() == [1]
    for flag in (2, 1.0, "yes"):
        with pytest.raises(load_v2.LoadError, match="input 'flag' is .*the signature has bool"):
            elements.row({"flag": flag, "ids": []}, FLAGS)
    with pytest.raises(load_v2.LoadError, match=r"input 'ids' is scalar; .*one row is \[None\]"):
        elements.row({"flag": True, "ids": 3}, FLAGS)
    with pytest.raises(load_v2.LoadError, match="input 'words' is int64; the signature has string"):
        elements.row({"words": [1, 2]}, WORDS)


def test_a_complex_number_is_no_other_kind():
    specs = {"z": Spec("z:0", "complex64", (None,)), "x": Spec("x:0", "float32", (None,))}
    assert elements.row({"z": 1 + 2j, "x": 1}, specs)["z"] == np.complex64(1 + 2j)
    assert elements.row({"z": 0.5, "x": 1}, specs)["z"].dtype == np.complex64
    with pytest.raises(load_v2.LoadError, match="input 'x' is complex128; the signature has float32"):
        elements.row({"z": 1, "x": 1j}, specs)


def test_a_feature_without_values_is_empty():
    example = tf.train.Example()
    example.features.feature["words"].SetInParent()
    assert elements.features(example) == {"words": []}
    assert elements.row(example, WORDS)["words"].shape == (0,)


def test_two_open_sizes_cannot_come_from_an_example():
    specs = {"x": Spec("x:0", "float32", (None, None, None))}
    with pytest.raises(load_v2.LoadError, match="(?s)at most one size.*Give dicts of arrays"):
        elements.row(_example(x=[1.0]), specs)


def test_an_element_is_shown_by_its_short_values():
    assert elements.shown({"id": 7, "image": np.ones([2, 3])}) == "{id=7}"
    assert elements.shown({"image": np.ones([2, 3])}) == "with 'image'"
    assert len(elements.shown({"text": "x" * 1000, "id": 1})) < 30


def test_missing_beam_is_named_with_the_line_that_installs_it(subprocess_env):
    # None in sys.modules is how Python marks a module that cannot be imported.
    script = (
        "import sys; sys.modules['apache_beam'] = None\n"
        "sys.argv = ['beam', 'DIR', '--input=a.parquet', '--output=b.parquet']\n"
        "import load_v2.beam\n"
        "try: load_v2.beam.SignatureModelHandler\n"
        "except load_v2.LoadError as error: print(error)\n"
        "from load_v2.beam import __main__\n"
        "sys.exit(__main__.main())"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=subprocess_env, check=False)
    assert done.returncode == 1
    for said in (done.stdout, done.stderr.splitlines()[-1]):
        assert re.search(r"pip install apache-beam", said), done.stderr


@pytest.mark.parametrize(
    "value, dtype, kind",
    [
        ([0, 2**64 - 1], "uint64", "uint64"),
        ([decimal.Decimal(0), decimal.Decimal(2**64 - 1)], "uint64", "uint64"),
        ([0, -1, 2**64 - 1], "uint64", "float64"),
        ([0.5], "uint64", "float64"),
        ([decimal.Decimal("1.5"), decimal.Decimal(2)], "float32", "float64"),
        ([decimal.Decimal("Infinity")], "float32", "float64"),
        ([decimal.Decimal(3), decimal.Decimal(-4)], "int32", "int64"),
        ([None, 1], "uint64", "object"),
        ([1, 2], "int32", "int64"),
    ],
)
def test_numbers_are_what_they_are_meant_as(value, dtype, kind):
    array = elements.numbers([value], dtype)
    assert array.dtype.name == kind and array.shape == (1, len(value))
    assert array.tolist() == [[float(item) if kind == "float64" else item for item in value]]
