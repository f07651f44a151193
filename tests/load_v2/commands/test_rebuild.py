"""`python -m load_v2 rebuild`."""

import pytest

from load_v2 import __main__ as command
from load_v2.errors import LoadError


def _run(*words: str) -> int:
    args = command.parse(["load_v2", "rebuild", *words])
    return args.run(args)


def test_code_and_weights_are_written_and_the_report_printed(exported, tmp_path, capsys):
    code, weights, archive = (str(tmp_path / f"model{ending}") for ending in (".py", ".weights.h5", ".keras"))
    folder = str(exported("mlp_layers"))
    assert _run(folder, f"--code={code}", f"--weights={weights}", f"--keras={archive}", "--backends=tensorflow") == 0
    printed = capsys.readouterr().out
    assert "layers: 2 Dense" in printed and "100.00% in Keras's own layers" in printed
    assert "tensorflow: logits: equal" in printed and "note: not proven on jax" in printed
    assert (tmp_path / "model.py").read_text().startswith('"""Signature')
    with pytest.raises(LoadError, match="--overwrite"):
        _run(folder, f"--code={code}", f"--weights={weights}")

    import keras
    import numpy as np

    model = keras.models.load_model(archive)
    assert np.shape(model({"x": np.zeros([3, 16], "float32")})["probs"]) == (3, 3)


def test_a_dry_run_writes_nothing(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _run(str(exported("slim_contrib_net")), "--dry_run") == 0
    printed = capsys.readouterr().out
    assert "SeparableConv2D" in printed and "weights:" in printed and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--code is missing"),
        (["--code=model.txt", "--weights=a.weights.h5"], "does not end in .py"),
        (["--code=model.py", "--weights=a.h5"], "does not end in .weights.h5"),
    ],
)
def test_flags_that_do_not_fit_are_told(words, message, exported):
    with pytest.raises(LoadError, match=message):
        _run(str(exported("mlp_layers")), *words)


def test_nothing_is_written_where_something_is_refused(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("load_v2.opening.strings.split", lambda taken: None)
    with pytest.raises(LoadError, match="cannot become a Keras model"):
        _run(str(exported("lookup_vocab")), f"--code={tmp_path}/m.py", f"--weights={tmp_path}/m.weights.h5")
    assert not list(tmp_path.iterdir())


def test_what_is_before_and_behind_the_model_is_written_where_it_is_asked_for(exported, tmp_path):
    import keras

    flags = [f"--code={tmp_path}/m.py", f"--weights={tmp_path}/m.weights.h5", "--backends=tensorflow"]
    ends = [f"--front={tmp_path}/front.keras", f"--back={tmp_path}/back.keras"]
    assert _run(str(exported("lookup_vocab")), *flags, *ends) == 0
    front, back = (keras.models.load_model(tmp_path / f"{name}.keras") for name in ("front", "back"))
    assert [tensor.dtype for tensor in front.inputs] == ["string"]
    assert (
        next(iter(back.output_shape.values() if isinstance(back.output_shape, dict) else [back.output_shape]))
        is not None
    )
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(LoadError, match="no front to write"):
        _run(str(exported("mlp_layers")), *flags, ends[0])
    assert not list(tmp_path.iterdir())


def test_a_dry_run_tells_what_becomes_of_the_rest_where_something_is_refused(exported, capsys, monkeypatch):
    monkeypatch.setattr("load_v2.opening.strings.split", lambda taken: None)
    with pytest.raises(LoadError, match="(?s)LookupTableFindV2 .*--input=KEY=TENSOR"):
        _run(str(exported("lookup_vocab")), "--dry_run")
    printed = capsys.readouterr().out
    assert "layers: 1 Embedding, 1 Dense" in printed and "no code: 1 StringToHashBucketFast" in printed
