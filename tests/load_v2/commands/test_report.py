"""`report`: one page that holds what it says it holds, and loads nothing."""

import html.parser
import json
import os
import re
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError, SignatureLayer
from load_v2.commands import report, to_keras
from tests.support import cases, savedmodels


class _Reader(html.parser.HTMLParser):
    """Checks that elements are nested as they have to be, and gathers text and addresses."""

    VOID = {"meta", "br", "input", "path", "rect", "i"}

    def __init__(self, page: str):
        super().__init__()
        self.open, self.words, self.addresses = [], [], []
        self.feed(page)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for key, value in attributes if key in ("src", "href")]
        if tag not in {"meta", "br", "input", "option"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag != "option":
            assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open}"
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _page(path, folder) -> str:
    folder.mkdir(exist_ok=True)
    file = folder / "report.html"
    report.write(str(path), str(file))
    return file.read_text(encoding="utf-8")


def _data(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page)[1])


def test_the_page_says_what_goes_in_what_was_chosen_what_is_proven_and_what_is_not_possible(exported, tmp_path):
    page = _page(exported("convnet_bn_dropout"), tmp_path)
    read = _Reader(page)
    for words in (
        "images float32 [None, 12, 12, 3]",
        "equal The export answers as the original did.",
        "is_training:0",
        "batch_normalization/moving_variance",
        "13 weights, 1,565 numbers; all of them are finite.",
        "replayed through SignatureLayer and tf.saved_model.load",
        "exported without --resume",
    ):
        assert words in read.text, words
    outputs = cases.load("convnet_bn_dropout").config["outputs"]
    assert page.count('class="dots"') == len(outputs) and page.count('class="bars"') == 13
    data = _data(page)
    assert sum(total for total, _ in data["scopes"].values()) == 753
    assert set(data["graphs"]) == {"serving_default", "train"}


def test_nothing_is_loaded_from_anywhere(exported, tmp_path):
    page = _page(exported("mlp_layers"), tmp_path)
    assert all(address.startswith("#") for address in _Reader(page).addresses)
    assert (
        "default-src 'none'" in page
        and "http://" not in page.replace("http://www.w3.org/2000/svg", "")
        and "https:" not in page
    )
    assert "url(" not in page.replace("url(#arrow)", "") and "@import" not in page and "fetch(" not in page


def test_checksums_are_those_of_the_checkpoint(exported, tmp_path):
    page = _Reader(_page(exported("mlp_layers"), tmp_path)).text
    from export_v1.format import bundle

    index = bundle.read(str(cases.load("mlp_layers").folder / "model.ckpt-3"))
    assert f"dense/kernel {index.checksum('dense/kernel'):08x}" in page


def test_weights_with_nan_are_named_and_a_changed_one_is_marked(exported, tmp_path):
    copy = shutil.copytree(exported("mlp_layers"), tmp_path / "copy")
    prefix = str(copy / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    values = {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}
    values["dense/bias"][2] = np.nan
    shutil.rmtree(copy / "variables")
    os.makedirs(copy / "variables")
    names = sorted(values)
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=[values[n] for n in names]
    )
    page = _Reader(_page(copy, tmp_path)).text
    assert "dense/bias holds 1 NaN." in page and "DIFFERENT" in page and "changed" in page
    assert "these hold NaN or infinity: 'dense/bias'" in page


def _weights(page: str) -> list[str]:
    return re.findall(
        r"<code>([^<]*)</code>(?:<br><small>not trainable</small>)?</td><td data-head=.shape.*?(?=</tr>)", page
    )


def test_an_archive_has_its_page(exported, tmp_path):
    model = to_keras.as_model(exported("convnet_bn_dropout"))
    bias = next(weight for weight in model.weights if weight.name == "conv2d_1/bias")
    bias.assign(np.where(np.arange(bias.shape[0]) == 1, np.nan, bias))
    model.save(tmp_path / "m.keras")
    page, plain = _page(tmp_path / "m.keras", tmp_path), _page(exported("convnet_bn_dropout"), tmp_path / "export")
    text = _Reader(page).text
    for words in (
        "m.keras: layers/",
        "The archive is what was saved; no recorded answers travel in it.",
        "is_training:0",
        "conv2d_1/bias holds 1 NaN.",
        "nodes in the training graph 753",
        "Run python -m load_v2 verify on the export that it was made of.",
    ):
        assert words in text, words
    assert sorted(_weights(page)) == sorted(_weights(plain)) and len(_weights(page)) == 13
    row = re.compile("conv2d/kernel</code>.*?</tr>")
    assert row.search(page)[0] == row.search(plain)[0]
    assert set(_data(page)["graphs"]) == set(_data(plain)["graphs"])


def test_a_changed_archive_has_its_page_and_says_so(exported, tmp_path):
    to_keras.as_model(exported("mlp_layers")).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content + b" " * name.endswith("export_v1.json"))
    text = _Reader(_page(tmp_path / "m.keras", tmp_path)).text
    assert "was CHANGED after the archive was saved" in text and "different" in text.lower()


def test_of_several_layers_in_an_archive_one_is_named(exported, tmp_path):
    inputs = keras.Input((16,))
    layers = [SignatureLayer(exported("mlp_layers"), name=name) for name in ("one", "two")]
    keras.Model(inputs, [layer(inputs)["probs"] for layer in layers]).save(tmp_path / "m.keras")
    with pytest.raises(LoadError) as caught:
        report.write(str(tmp_path / "m.keras"), str(tmp_path / "a.html"))
    names = re.findall("--layer=(\\S+)", str(caught.value))
    assert len(names) == 2 and not (tmp_path / "a.html").exists()
    for name in names:
        report.write(str(tmp_path / "m.keras"), str(tmp_path / f"{name.rpartition('/')[2]}.html"), layer=name)
    with pytest.raises(LoadError, match="'three' is not in"):
        report.write(str(tmp_path / "m.keras"), str(tmp_path / "a.html"), layer="three")


def test_an_archive_without_digests_has_its_page(tmp_path):
    old = cases.FOLDER / "archives"
    text = _Reader(_page(sorted(old.glob("*.keras"))[0], tmp_path)).text
    assert "It could not be verified" in text or "is what was saved" in text


def test_names_are_text_and_never_markup(tmp_path):
    name = "a/</script><script>alert(1)</script>"
    with savedmodels.session() as current:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        key = "<img src=http://nowhere.invalid/x onerror=alert(1)>"
        path = savedmodels.save(tmp_path / "1", current, {"x": x}, {key: x * 2.0})
    from load_v2.page import document, facts, scopes

    gathered = facts.gather(path)
    gathered.graphs["serving_default"].children.append(scopes.Scope(name, "Relu", 1))
    page = document.text(gathered)
    read = _Reader(page)
    assert key in read.text and not read.addresses[8:]
    assert page.count("<script") == 2 and "</script><script>alert" not in page
    assert name in json.dumps(_data(page), ensure_ascii=False)


@pytest.mark.parametrize(
    "name", ["lookup_vocab", "stateful_counter", "odd_no_inputs", "hub_module_tags", "flow_scan_map_cond"]
)
def test_every_kind_of_export_has_its_page(exported, name, tmp_path):
    page = _page(exported(name), tmp_path)
    assert _Reader(page).text and _data(page)["graphs"]


def test_an_export_that_cannot_be_verified_has_its_page_and_says_so(tmp_path):
    page = _Reader(_page(savedmodels.with_train(tmp_path / "1"), tmp_path)).text
    assert "It could not be verified" in page and "not written by step 1" in page


def test_an_export_of_an_earlier_version_has_its_page(exported, tmp_path):
    copy = shutil.copytree(exported("mlp_layers"), tmp_path / "copy")
    file = copy / "assets.extra" / "export_v1.json"
    values = json.loads(file.read_text())
    del values["scopes"]
    file.write_text(json.dumps(values))
    assert "did not count nodes by scope" in _page(copy, tmp_path)


def test_what_cannot_be_written_is_one_message(exported, tmp_path):
    from load_v2 import __main__

    there = tmp_path / "there.html"
    there.write_text("mine")

    def refused(*arguments) -> str:
        args = __main__.parse(["load_v2", "report", *map(str, arguments)])
        with pytest.raises(LoadError) as caught:
            args.run(args)
        return str(caught.value)

    export = exported("mlp_layers")
    assert "already exists" in refused(export, f"--html={there}") and there.read_text() == "mine"
    assert "does not end in .html" in refused(export, "--html=page.htm")
    (tmp_path / "m.keras").write_bytes(b"")
    assert "not a complete .keras archive" in refused(tmp_path / "m.keras", f"--html={tmp_path}/a.html")
    assert "no layer 'x'" in refused(export, f"--html={tmp_path}/a.html", "--layer=x")
    assert not (tmp_path / "a.html").exists()
