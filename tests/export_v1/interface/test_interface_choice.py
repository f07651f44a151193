"""The choice of inputs and outputs where none are given, and the candidates where it is not clear."""

import dataclasses
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from export_v1 import errors, interface
from tests.export_v1.interface.test_interface import ANSWERS, FIXTURES, PLACE, load
from tests.support import graphs

# What is chosen without a word: inputs, outputs, by key.
CHOSEN = {
    "bert_tiny": (
        {"input_ids": "input_ids:0", "input_mask": "input_mask:0"},
        {
            "pooled": "bert/pooler/dense/Tanh:0",
            "sequence": "bert/encoder/layer_1/output/LayerNorm/batchnorm/add_1:0",
        },
    ),
    "clones_on_queues": (
        {"x": "clone_0/fifo_queue_Dequeue:0"},
        {"logits": "clone_0/logits/BiasAdd:0", "probs": "clone_0/probs:0"},
    ),
    "convnet_bn_dropout": ({"images": "images:0"}, {"predictions": "predictions:0"}),
    "convnet_bn_finetune": ({"images": "images:0"}, {"head": "head/BiasAdd:0"}),
    "dataset_iterator": (
        {"IteratorGetNext": "IteratorGetNext:0", "IteratorGetNext_1": "IteratorGetNext:1"},
        {"logits": "logits/BiasAdd:0"},
    ),
    "ema_shadow": ({"x": "x:0"}, {"out": "out:0"}),
    "lookup_vocab": (
        {"words": "words:0"},
        {"logits": "dense/BiasAdd:0", "label": "hash_table_Lookup_1/LookupTableFindV2:0"},
    ),
    "mlp_layers": ({"x": "x:0"}, {"logits": "dense_1/BiasAdd:0", "probs": "probs:0"}),
    "partitioned_embedding": ({"ids": "ids:0"}, {"out": "out:0"}),
    "sharded_ckpt": ({"x": "x:0"}, {"b": "b/BiasAdd:0"}),
    "slim_contrib_net": ({"image": "image:0"}, {"embeddings": "embeddings:0"}),
    "v1_format": ({"x": "x:0"}, {"out": "out/BiasAdd:0"}),
    "actor_critic": ({"state": "state:0"}, {"policy": "policy/Softmax:0", "value": "value/BiasAdd:0"}),
    "batch_norm_tst": (
        {"x": "Placeholder:0"},
        {"logits": "add:0", "probabilities": "Softmax:0", "classes": "ArgMax:0"},
    ),
    "bert_estimator": (
        {"IteratorGetNext": "IteratorGetNext:0", "IteratorGetNext_1": "IteratorGetNext:1"},
        {"logits": "loss/BiasAdd:0", "probabilities": "loss/Softmax:0"},
    ),
    "capsule_mask": ({"X": "X:0"}, {"y_proba": "y_proba:0", "y_pred": "y_pred:0"}),
    "char_rnn": ({"x": "Placeholder:0"}, {"logits": "add:0", "probabilities": "Softmax:0"}),
    "dqn": ({"s": "s:0"}, {"q": "eval_net/q/BiasAdd:0"}),
    "dqn_staged": (
        {"state_ph": "state_ph:0"},
        {"Online": "Online/fully_connected_1/BiasAdd:0", "output": "strided_slice:0"},
    ),
    "estimator_dnn": (
        {"kind": "IteratorGetNext:0", "size": "IteratorGetNext:1"},
        {
            "logits": "dnn/logits/BiasAdd:0",
            "class_ids": "dnn/head/predictions/class_ids:0",
            "str_classes": "dnn/head/predictions/str_classes:0",
            "probabilities": "dnn/head/predictions/probabilities:0",
        },
    ),
    "facenet_triplet": ({"input": "input:0"}, {"embeddings": "embeddings:0"}),
    "inception_aux": (
        {"batch": "batch:0"},
        {
            "Aux_logits": "AuxLogits/Aux_logits/BiasAdd:0",
            "Logits": "Logits/Logits/BiasAdd:0",
            "Predictions": "Logits/Predictions/Reshape_1:0",
        },
    ),
    "int_mode": ({"x": "x:0"}, {"scores": "scores/BiasAdd:0"}),
    "keras_in_tf1": (
        {"conv1d_input": "conv1d_input:0"},
        {"logits": "dense/BiasAdd:0", "probabilities": "dense/Softmax:0", "classes": "metrics/acc/ArgMax_1:0"},
    ),
    "linear_regression": ({"X": "X:0"}, {"output": "Add:0"}),
    "mnist_experts": ({"x": "Placeholder:0"}, {"output": "add_2:0", "classes": "ArgMax:0"}),
    "recommender": ({"id_user": "id_user:0", "id_item": "id_item:0"}, {"svd_inference": "svd_inference:0"}),
    "retrain": ({"Mul": "Mul:0"}, {"final_result": "final_result:0", "classes": "accuracy/ArgMax:0"}),
    "siamese": ({"left": "left:0", "right": "right:0"}, {"distance": "distance:0"}),
    "sparse_words": (
        {
            "IteratorGetNext_indices": "DeserializeSparse:0",
            "IteratorGetNext_values": "DeserializeSparse:1",
            "IteratorGetNext_shape": "DeserializeSparse:2",
        },
        {"logits": "logits/BiasAdd:0"},
    ),
    "softmax_regression": ({"x": "Placeholder:0"}, {"probabilities": "Softmax:0", "classes": "ArgMax:0"}),
    "speech_ctc": (
        {"features": "features:0", "seq_len": "seq_len:0"},
        {
            "logits": "logits/BiasAdd:0",
            "decoded_indices": "CTCGreedyDecoder:0",
            "decoded_values": "CTCGreedyDecoder:1",
            "decoded_shape": "CTCGreedyDecoder:2",
            "log_probability": "CTCGreedyDecoder:3",
        },
    ),
    "static_lstm": (
        {"x": "Placeholder:0"},
        {"logits": "add:0", "probabilities": "Softmax:0", "classes": "ArgMax:0"},
    ),
    "super_resolution": ({"images": "images:0"}, {"output": "add_1:0"}),
    "tensorpack_queue": ({"input": "QueueInput/input_deque:0"}, {"output": "fc/output:0", "prob": "prob:0"}),
    "text_cnn": ({"input_x": "input_x:0"}, {"scores": "output/scores:0", "predictions": "output/predictions:0"}),
    "tflearn_dropout": ({"X": "InputData/X:0"}, {"probabilities": "FullyConnected/Softmax:0"}),
    "towers_of_iterators": ({"x": "IteratorGetNext_1:0"}, {"probabilities": "Softmax:0", "classes": "ArgMax:0"}),
    "train_and_serve": ({"x": "Placeholder:0"}, {"probabilities": "Softmax_1:0", "classes": "ArgMax_1:0"}),
    "unet": (
        {"x": "x:0"},
        {
            "output_map": "output_map/Relu:0",
            "pixel_wise_softmax": "results/pixel_wise_softmax:0",
            "classes": "results/ArgMax:0",
        },
    ),
    "estimator_binary": (
        {"age": "IteratorGetNext:0", "education": "IteratorGetNext:1"},
        {
            "logistic": "dnn/head/predictions/logistic:0",
            "probabilities": "dnn/head/predictions/probabilities:0",
            "class_ids": "dnn/head/predictions/class_ids:0",
            "str_classes": "dnn/head/predictions/str_classes:0",
        },
    ),
    "masked_actions": ({"state": "state:0", "mask": "mask:0"}, {"policy": "policy:0"}),
    "recurrent_policy": (
        {"ob": "ob:0", "c_in": "c_in:0", "h_in": "h_in:0"},
        {"value": "value/BiasAdd:0", "next_c_in": "rnn/while/Exit_3:0", "next_h_in": "rnn/while/Exit_4:0"},
    ),
    "detector": (
        {"image": "image:0"},
        {"grid": "grid/BiasAdd:0", "boxes": "boxes:0", "scores": "scores:0", "num_detections": "num_detections:0"},
    ),
    "greedy_decoder": (
        {"source": "source:0", "lengths": "lengths:0"},
        {"decoder": "decoder/transpose:0", "decoder_1": "decoder/transpose_1:0"},
    ),
    "default_of_iterator": ({"x": "x:0"}, {"logits": "dense/BiasAdd:0", "probs": "probs:0"}),
    "parsed_queue": ({"image": "shuffle_batch:0"}, {"logits": "dense_1/BiasAdd:0"}),
    "loop_v2": ({"x": "x:0"}, {"out": "out:0"}),
    "gpt2": ({"x": "Placeholder:0"}, {"output": "model/Reshape_1:0", "output_1": "model/stack:0"}),
    "lstm_dynamic_rnn": ({"seq": "seq:0", "lengths": "lengths:0"}, {"score": "score:0", "output": "rnn/transpose_1:0"}),
    "seq2seq_lengths": (
        {"inputs": "inputs:0", "input_lengths": "input_lengths:0"},
        {"mel_outputs": "mel_outputs:0", "encoder": "encoder/transpose_1:0"},
    ),
    "dot_product": ({"user": "user:0", "item": "item:0"}, {"output": "Sum:0"}),
    "steering": ({"x": "Placeholder:0"}, {"output": "Mul:0"}),
    "yolo": (
        {"input_data": "define_input/input_data:0"},
        {"conv_sbbox": "conv_sbbox/BiasAdd:0", "pred_sbbox": "pred_sbbox/concat:0"},
    ),
}
# What comes along though nobody wants it: a step of the same weights that nothing reads.
BESIDE = {"seq2seq_lengths": {"encoder/transpose_1:0"}}
# What is not clear, and a part of the reason that is given.
UNCLEAR = {
    "actor_in_critic": "which other variables are trained to give",
    "constant_data": "the data are constants of the graph, 'data:0'",
    "cyclegan": "more than one model",
    "dcgan": "more than one model",
    "facenet_softmax": "through more weights",
    "gan_drawn_noise": "more than one model",
    "gaussian_policy": "may be an answer too",
    "likenesses": "is named like a label",
    "multi_io_int": "more than one model",
    "scores_without_loss": "nothing was trained here",
    "style_transfer": "is computed from 'stylized:0' without weights",
    "tagger_decoded": "more than one model",
    "tagger_crf": "is named like a label",
    "unclear_flag": "do not show what it is for",
    "vae": "through more weights",
    "word2vec": "is named like a label",
}


def wanted(name):
    """What a person who knows the model feeds, reads and freezes."""
    if name in ANSWERS:
        return ANSWERS[name]
    case = json.loads((FIXTURES / name / "case.json").read_text())
    return {**case, "inputs": list(case["inputs"].values()), "outputs": list(case["outputs"].values())}


def resolve(model, **given):
    return interface.resolve(model, place=PLACE, **given)


def test_every_graph_kept_for_choosing_is_tried():
    assert set(ANSWERS) <= CHOSEN.keys() | UNCLEAR.keys()
    assert not CHOSEN.keys() & UNCLEAR.keys()


@pytest.mark.parametrize("name", sorted(CHOSEN))
def test_chosen(name):
    found = resolve(load(name))
    inputs, outputs = CHOSEN[name]
    assert {key: one.tensor for key, one in found.inputs.items()} == inputs
    assert found.outputs == outputs
    said = {choice.what for choice in found.choices}
    assert {f"input {key!r} is {tensor}" for key, tensor in inputs.items()} <= said
    assert {f"output {key!r} is {tensor}" for key, tensor in outputs.items()} <= said
    answer = wanted(name)
    assert set(inputs.values()) == set(answer["inputs"])
    # The class that a metric chooses by one of them is a form of the same answer.
    classes = {name for name in outputs.values() if name.partition(":")[0].rpartition("/")[2].startswith("ArgMax")}
    assert set(outputs.values()) - classes - BESIDE.get(name, set()) <= set(answer["outputs"])
    assert found.frozen == answer["freeze"]


@pytest.mark.parametrize("name", sorted(UNCLEAR))
def test_unclear_lists_the_right_names(name):
    with pytest.raises(errors.ExportError) as caught:
        resolve(load(name))
    message = str(caught.value)
    assert UNCLEAR[name] in message.splitlines()[0] and PLACE in message
    answer = wanted(name)
    # A model of word vectors has no answer in its graph: its variables are what is wanted.
    assert answer["inputs"] and bool(answer["outputs"]) == (name != "word2vec")
    for tensor in answer["inputs"]:
        assert re.search(rf"--input=\w+={re.escape(tensor)} ", message), tensor
    for tensor in answer["outputs"]:
        assert re.search(rf"--output=\w+={re.escape(tensor)} ", message), tensor
    for tensor in answer["freeze"]:
        assert f"--freeze={tensor}=" in message


def test_a_graph_without_an_answer_offers_what_its_loss_reads():
    found = interface.candidates(load("word2vec"))
    assert [one.tensor for one in found.inputs] == ["train_inputs:0", "train_labels:0"]
    data, label = (one.why for one in found.inputs)
    assert "as data is" in data and "not combined with weights" in label
    assert found.outputs[0].tensor == "embedding_lookup/Identity:0" and "loss" in found.outputs[0].why
    assert found.freeze == ()


@pytest.mark.parametrize("name", ["dcgan", "gpt2", "facenet_softmax", "vae"])
def test_outputs_alone_settle_an_unclear_graph(name):
    answer = wanted(name)
    found = resolve(load(name), outputs={"y": answer["outputs"][0]})
    assert [one.tensor for one in found.inputs.values()] == answer["inputs"]
    assert found.frozen == answer["freeze"]


def test_inputs_alone_leave_the_outputs_to_be_chosen():
    found = resolve(load("mlp_layers"), inputs={"h": "dense/Relu:0"})
    assert found.outputs == {"logits": "dense_1/BiasAdd:0", "probs": "probs:0"}
    found = resolve(load("facenet_triplet"), inputs={"picture": "batch_join:0"})
    assert found.outputs == {"embeddings": "embeddings:0"} and list(found.inputs) == ["picture"]


def test_names_do_not_decide():
    """The choice is the same when every name that could tell is taken away."""
    model = load("convnet_bn_dropout")
    new = {"images": "q1", "labels": "q2", "is_training": "q3"}
    graph_def = tf.compat.v1.GraphDef.FromString(model.graph_def.SerializeToString())
    for node in graph_def.node:
        node.name = new.get(node.name, node.name)
        for at, edge in enumerate(node.input):
            node.input[at] = new.get(edge, edge)
    found = resolve(dataclasses.replace(model, graph_def=graph_def))
    assert [one.tensor for one in found.inputs.values()] == ["q1:0"]
    assert found.frozen == {"q3:0": False}


def test_the_graph_is_not_changed():
    model = load("slim_contrib_net")
    before = model.graph_def.SerializeToString(deterministic=True)
    resolve(model)
    interface.listing(model, [])
    assert model.graph_def.SerializeToString(deterministic=True) == before


def test_candidates():
    found = interface.candidates(load("slim_contrib_net"))
    assert found.inputs[0].tensor == "image:0" and found.inputs[0].shape == [None, 16, 16, 3]
    assert found.outputs[0].tensor == "embeddings:0"
    assert {one.tensor: one.value for one in found.freeze} == {
        "keep_prob:0": 1.0,
        "phase_train:0": False,
        "keras_learning_phase:0": False,
    }
    assert all(one.why for one in (*found.inputs, *found.outputs, *found.freeze))


@dataclasses.dataclass
class Variable:
    name: str
    dtype: tf.DType
    shape: tuple | None
    trainable: bool


def test_listing():
    variables = [Variable("w", tf.float32, (16, 3), True), Variable("step", tf.int64, (), False)]
    text = interface.listing(load("mlp_layers"), variables)
    assert "--input=x=x:0 --output=logits=dense_1/BiasAdd:0 --output=probs=probs:0" in text.splitlines()[0]
    assert "--input=labels=labels:0   float32 [None,3]; it is not combined with weights" in text
    assert "Variables (2):" in text and "w      float32 [16,3]\n" in text
    assert "step   int64 scalar; not trainable" in text
    assert "--freeze=smooth:0=false|true" in interface.listing(load("unclear_flag"), [])
    assert "not clear: 'Sum:0' may be an answer too" in interface.listing(load("gaussian_policy"), [])


def test_images_decoded_in_a_loop_are_chosen_and_made_up(tmp_path):
    import export_v1

    v1 = tf.compat.v1
    with graphs.tensorflow_1(), v1.Session() as session:
        texts = v1.placeholder(tf.string, [None], name="images")

        def decoded(text):
            image = tf.cast(tf.io.decode_jpeg(text, channels=3), tf.float32)
            # Nothing reads it, and it has a value for each turn of the loop: no output.
            tf.reduce_mean(image, [0, 1], name="left_over")
            return v1.squeeze(v1.image.resize_bilinear(image[None], [4, 4]), [0])

        pixels = tf.reshape(v1.map_fn(decoded, texts, dtype=tf.float32), [-1, 48])
        weight = v1.get_variable("w", [48, 2], use_resource=False)
        tf.nn.softmax(tf.matmul(pixels, weight), name="probs")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    report = export_v1.export(checkpoint=str(tmp_path / "model.ckpt"), export_dir=str(tmp_path / "1"))
    assert list(report["inputs"]) == ["images"] and list(report["outputs"]) == ["probs"]
    with np.load(tmp_path / "1" / "assets.extra" / "sample.npz") as sample:
        assert all(text.startswith(b"\xff\xd8") for text in sample["in/images"].tolist())
        assert sample["out/probs"].shape == (3, 2)
