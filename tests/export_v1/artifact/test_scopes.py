"""Nodes counted by scope, before and after."""

import json

import export_v1
from export_v1.artifact import scopes
from export_v1.format import record
from tests.support import cases


def test_each_node_is_counted_once_in_the_scope_that_it_is_in():
    names = ["x", "a/b/c", "a/b/d", "a/e", "g/h/i/j/k", "g/h/i/l"]
    counted = scopes.counts(names, {"x", "a/b/c"})
    assert counted == {"": (1, 1), "a/b": (2, 1), "a": (1, 0), "g/h/i": (2, 0)}


def test_a_dropped_scope_beside_deep_kept_ones_keeps_its_own_name():
    names = ["a/b/c/d/kept", "a/b/c/d/e/f/gone", "a/b/c/d/e/g/gone"]
    assert scopes.counts(names, {"a/b/c/d/kept"}) == {"a/b/c/d": (1, 1), "a/b/c/d/e": (2, 0)}


def test_an_export_records_what_its_graph_file_has(tmp_path):
    case = cases.load("convnet_bn_dropout")
    report = export_v1.export(export_dir=str(tmp_path / "1"), **case.flags())
    assert sum(total for total, _ in report["scopes"].values()) == report["nodes"]["original"]
    assert sum(kept for _, kept in report["scopes"].values()) == report["nodes"]["kept"]
    # Counted by hand in the .meta file: `conv2d` has two nodes outside its variables, of which the export keeps Conv2D.
    total, kept = report["scopes"]["conv2d"]
    assert total >= kept >= 1
    written = json.loads((tmp_path / "1" / record.PATH).read_text())
    assert written["scopes"] == report["scopes"]
    assert record.read(str(tmp_path / "1" / record.PATH), export_v1.ExportError).scopes == report["scopes"]
