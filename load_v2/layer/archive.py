"""The graph of a layer in a Keras archive: one folder with graph, files it reads and step 1's record; no weights."""

import dataclasses
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping

import tensorflow as tf
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import saved_model_pb2

from export_v1.format import digests
from export_v1.format import record as record_file
from load_v2.errors import LoadError, quoted
from load_v2.layer import description
from load_v2.program import artefact, signature
from load_v2.program import program as programs

# File -> what was read from it, and (file, key) -> the program of a signature, as long as a layer holds on to them. A
# program holds what it was taken from, so nothing here may hold a program.
_READ: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_TAKEN: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_LOCK = threading.Lock()


class Kept:
    """Holds on to an object that tf.Module and Keras should not look into."""

    def __init__(self, item: object):
        self._item = item


class OwnFolder:
    """A temporary folder that lives as long as this object."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="load_v2_")
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def shared(path: str | os.PathLike, key: str) -> programs.Program:
    """Returns the program of a signature of an export; layers on the same, unchanged export share what was read."""
    file = os.path.join(os.path.realpath(os.fspath(path)), "saved_model.pb")
    try:
        status = os.stat(file)
    except OSError:
        return programs.take(artefact.read(path), key)
    identity = (file, status.st_mtime_ns, status.st_size, status.st_ino)
    with _LOCK:
        program = _TAKEN.get((identity, key))
        if program is None:
            source = _READ.get(identity)
            if source is None:
                source = _READ[identity] = artefact.read(path)
            program = _TAKEN[identity, key] = programs.take(source, key)
        return program


def write(program: programs.Program, folder: str) -> None:
    """Writes what `read` needs; beside the weights, which Keras keeps, it is a SavedModel of its own."""
    meta_graph = artefact.MetaGraphDef()
    meta_graph.meta_info_def.tags.append("serve")
    meta_graph.meta_info_def.tensorflow_version = program.source.meta_graph.meta_info_def.tensorflow_version
    meta_graph.graph_def.CopyFrom(program.graph_def)
    for key, part in [(program.key, program.serve)] + ([(programs.TRAIN, program.train)] if program.train else []):
        definition = meta_graph.signature_def[key]
        definition.method_name = "tensorflow/serving/predict"
        inputs = dict(zip(program.source.signatures[program.key].inputs, part.inputs, strict=True))
        _write_specs(definition.inputs, inputs)
        _write_specs(definition.outputs, part.outputs)
    _write_variables(meta_graph, program)
    held = {node.name for node in program.graph_def.node}
    losses = [name for name in program.source.regularization_losses if name.partition(":")[0] in held]
    meta_graph.collection_def["regularization_losses"].node_list.value.extend(losses)
    _write_assets(meta_graph, program, folder)
    os.makedirs(os.path.join(folder, "assets.extra"), exist_ok=True)
    record_file.write(_record(program), os.path.join(folder, record_file.PATH))
    with open(os.path.join(folder, "saved_model.pb"), "wb") as stream:
        model = saved_model_pb2.SavedModel(saved_model_schema_version=1, meta_graphs=[meta_graph])
        stream.write(model.SerializeToString(deterministic=True))


def _record(program: programs.Program) -> record_file.Record:
    record = program.source.record or record_file.Record()
    specs = program.source.signatures[program.key]
    entry = record_file.SignatureEntry(_entries(specs.inputs), _entries(specs.outputs))
    return dataclasses.replace(record, signatures={**record.signatures, program.key: entry})


def _entries(specs: Mapping[str, signature.Spec]) -> dict[str, record_file.TensorEntry]:
    return {key: record_file.TensorEntry(spec.tensor, spec.dtype, spec.shape) for key, spec in specs.items()}


def _write_specs(infos, specs) -> None:
    for key, spec in specs.items():
        infos[key].name = spec.tensor
        infos[key].dtype = tf.as_dtype(spec.dtype).as_datatype_enum
        infos[key].tensor_shape.CopyFrom(tf.TensorShape(spec.shape).as_proto())


def _write_variables(meta_graph: artefact.MetaGraphDef, program: programs.Program) -> None:
    for variable in program.variables:
        definition = variable_pb2.VariableDef(
            variable_name=f"{variable.handles[0]}:0", is_resource=True, trainable=variable.trainable
        ).SerializeToString()
        meta_graph.collection_def["variables"].bytes_list.value.append(definition)
        if variable.trainable:
            meta_graph.collection_def["trainable_variables"].bytes_list.value.append(definition)


def _write_assets(meta_graph: artefact.MetaGraphDef, program: programs.Program, folder: str) -> None:
    for index, (name, file) in enumerate(program.assets.items()):
        stored = f"{index}_{os.path.basename(file)}"
        os.makedirs(os.path.join(folder, "assets"), exist_ok=True)
        if not os.path.isfile(file):
            raise LoadError(f"The file {file!r} that the graph reads is gone.\n  Put the export back, then save again.")
        shutil.copyfile(file, os.path.join(folder, "assets", stored))
        definition = meta_graph.asset_file_def.add(filename=stored)
        definition.tensor_info.name = name


def moved(folder: str, key: str, own: OwnFolder | None) -> programs.Program:
    """Returns a program that `write` stored; the files it reads are copied, because Keras deletes its own folder."""
    source = artefact.read(folder)
    if source.assets and own is not None:
        shutil.copytree(os.path.join(folder, "assets"), os.path.join(own.path, "assets"))
        files = {
            tensor: os.path.join(own.path, "assets", os.path.basename(file)) for tensor, file in source.assets.items()
        }
        source = dataclasses.replace(source, assets=files)
    return programs.take(source, key)


def read(folder: str | None, expected: description.Description, name: str) -> tuple[programs.Program, OwnFolder | None]:
    """Returns the program that `write` stored, and the folder its files were copied to (Keras deletes its own).

    Raises:
        LoadError: the folder is missing or damaged, or it is not what the layer's config says.
    """
    if folder is None:
        raise LoadError(
            f"The archive has no graph for layer {name!r}: it was truncated, or saved as weights only.\n"
            f"  Save the whole model: model.save(FILE.keras)."
        )
    own = OwnFolder() if os.path.isdir(os.path.join(folder, "assets")) else None
    program = moved(folder, expected.signature, own)
    differences = expected.same_as(description.of_program(program, expected.supports_jit))
    if differences:
        listed = "\n".join(f"    {item}" for item in differences[:10])
        raise LoadError(
            f"The graph in the archive is not the one of layer {name!r}; config and graph differ:\n{listed}\n"
            "  The archive was changed after it was saved. Save the model again."
        )
    return program, own


def check_digests(folder: str, have: Mapping[str, str] | None, name: str) -> None:
    """Checks that graph, record, files and weights of an archive are what was saved.

    Args:
        folder: what `write` wrote, with digests.
        have: name -> digest of the weights as they were read; None where they cannot be compared.
        name: of the layer.

    Raises:
        LoadError: one of them is not; an earlier version's archive has no digests, and passes.
    """
    changed, wanted = digests.changed_files(folder, LoadError), digests.weights(folder, LoadError)
    if changed is None or wanted is None:
        return
    if have is not None:
        changed += [f"weight {weight}" for weight, digest in wanted if have.get(weight) != digest]
    if changed:
        raise LoadError(
            f"The archive was changed after layer {name!r} was saved: {quoted(changed)}.\n"
            "  It is damaged, or somebody wrote into it. Save the model again."
        )


__all__ = ["Kept", "OwnFolder", "read", "shared", "signature", "write"]
