"""An export's graph becomes a Keras model: the order of work."""

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from export_v1.console import progress
from export_v1.format import comparison
from export_v1.format import sample as codec
from export_v1.ir.graph import Tensor
from load_v2.errors import LoadError, path_of, quoted
from load_v2.layer.signature_layer import SignatureLayer
from load_v2.opening import (
    as_layers,
    canonical,
    carried,
    choices,
    cover,
    dropouts,
    expressions,
    printed_state,
    proof,
    ranks,
    refusing,
    regularizers,
    repertoire,
    source,
    statements,
    strings,
    ties,
    training,
    values,
    weight_rules,
)
from load_v2.opening import backends as processes
from load_v2.opening import graph as graphs
from load_v2.opening.context import Context
from load_v2.opening.cover import Cover
from load_v2.opening.layers import Layer
from load_v2.opening.loops import bidirectional
from load_v2.opening.report import Report
from load_v2.opening.sizes import Sizes
from load_v2.opening.strings import Split
from load_v2.program import artefact, subgraph
from load_v2.program import program as programs
from load_v2.program.program import Part, Program
from load_v2.scoring import atomic

# Inputs, and the answers to them.
Batch: TypeAlias = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
# A match that fails its proof gives way to another, which may fail in its turn.
_MOST_ATTEMPTS = 8


@dataclasses.dataclass(frozen=True, repr=False)
class Rebuilt:
    """A rebuilt model.

    Attributes:
        model: the Keras model, with its weights.
        source: the Python code that builds it.
        report: what it is made of, and how it was proven.
        plan: what it was built from.
        front, back: layers that make the model's inputs of the signature's, and the rest of the signature's outputs, such as
            strings, of what the model gives; None where the model takes and gives what the signature does.
    """

    model: keras.Model
    source: str
    report: Report
    plan: "Plan"
    front: SignatureLayer | None = None
    back: SignatureLayer | None = None

    def __str__(self) -> str:
        return f"Rebuilt: model {self.model.name!r}\n{self.report}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """A model that can be built: the code, the layers whose weights it needs, what it covers.

    Attributes:
        taken: the program of the signature.
        context: its canonical graph.
        covered: the pieces.
        source: the code; "" where something was refused.
        layers: in the order of their first call.
        sample: the recorded inputs and answers, None where there are none.
        notes: what to know before the model is used or trained.
        parts: what is before the model and behind it, where the graph has strings.
    """

    taken: Program
    context: Context
    covered: Cover
    source: str
    layers: tuple[Layer, ...]
    sample: codec.Arrays | None
    notes: tuple[str, ...] = ()
    parts: Split | None = None


def rebuild(
    path: str | os.PathLike,
    signature: str = "serving_default",
    backends: Sequence[str] | None = None,
    static: bool = False,
) -> Rebuilt:
    """Returns the model of a signature in Keras's own layers, proven against the recorded answers of TensorFlow 1.

    Guaranteed: on each backend it answers the recorded inputs as they were answered, within the tolerances of
    `export_v1.format.comparison`, and batches of other sizes as SignatureLayer does; where no answers were recorded, the
    report says so.

    Args:
        path: folder of an export.
        signature: its key.
        backends: of Keras, to prove the model on; None: all that are installed.
        static: whether sizes that the signature leaves open, but for the batch, are fixed to the sample's.

    Raises:
        LoadError: the export cannot be read, something in the graph has no code, or the model answers something else.
    """
    plan_ = plan(path, signature, static)
    model = execute(plan_.source)
    fill(model, plan_.layers)
    with atomic.temporary(atomic.room(model)) as folder:
        code, weights = os.path.join(folder, "model.py"), os.path.join(folder, "model.weights.h5")
        write(plan_.source, model, code, weights)
        proofs, notes = prove(plan_, code, weights, processes.chosen(backends))
    ends = [SignatureLayer(part) if part else None for part in (plan_.parts.ends if plan_.parts else (None, None))]
    return Rebuilt(model, plan_.source, report(plan_, proofs, notes), plan_, *ends)


def rules(rebuilt: Rebuilt) -> tuple[str, tuple[str, ...]]:
    """Returns the rules by which `port` takes another checkpoint into the model, and the weights that they leave out."""
    bundle = rebuilt.plan.taken.source
    return weight_rules.text(rebuilt.model, rebuilt.plan.layers, bundle.variables, values.reader(bundle.bundle))


def plan(path: str | os.PathLike, signature: str = "serving_default", static: bool = False) -> Plan:
    """Returns the code for a signature, each of its layers proven; arguments and errors are those of `rebuild`."""
    surveyed = survey(path, signature, static)
    if surveyed.covered.refusals:
        raise refusing.error(path_of(path), signature, surveyed.covered.refusals)
    return surveyed


def survey(path: str | os.PathLike, signature: str = "serving_default", static: bool = False) -> Plan:
    """Returns what `plan` does, and where something is refused, what becomes of the rest: a plan without code.

    Raises:
        LoadError: the export cannot be read, or nothing of its graph can be.
    """
    path = path_of(path)
    read = artefact.read(path)
    program = programs.take(read, signature)
    sample = _sample(path, program)
    if not read.signatures[signature].inputs:
        raise LoadError(f"Signature {signature!r} of {path!r} has no inputs, and a Keras model needs one.")
    parts = strings.split(program)
    found = _covered(program, sample, parts, static)
    behind = strings.left_behind(program, (refusal.node for refusal in found.covered.refusals))
    if behind and (left := strings.split(program, behind)) is not None:
        parts = left
        found = _covered(program, sample, parts, static)
    program, sample, context = found.program, found.sample, found.context
    covered = dataclasses.replace(found.covered, refusals=(*found.written, *found.covered.refusals))
    body = statements.program(context, covered.pieces)
    if context.carried and not covered.refusals:
        body = printed_state.bound(body, context)
    layers = statements.layers_of(body.statements)
    if covered.refusals:
        return Plan(program, context, covered, "", tuple(layers), sample)
    left_out = _regularized(program, layers)
    specs = program.source.signatures[program.key].inputs
    code = source.write(body, context, specs, source.title(program))
    notes = (
        *(parts.notes if parts else found.notes),
        *left_out,
        *_notes(program, context, covered, layers),
    )
    return Plan(program, context, covered, code, tuple(layers), sample, notes, parts)


@dataclasses.dataclass(frozen=True, eq=False)
class _Covered:
    """The part of a signature that becomes a model.

    Attributes:
        program, sample: of that part.
        context, covered: its graph, and the pieces of that.
        written: the writes that no layer keeps.
        notes: on the shapes of its inputs.
    """

    program: Program
    sample: codec.Arrays | None
    context: Context
    covered: Cover
    written: tuple[cover.Refusal, ...]
    notes: tuple[str, ...]


def _covered(program: Program, sample: codec.Arrays | None, parts: Split | None, static: bool) -> _Covered:
    if parts is not None:
        program, sample = parts.core, parts.sample(sample)
    part, ends = carried.without_writes(program.serve, program.variables)
    written = tuple(cover.Refusal(name, op, cover.WRITES) for name, op in carried.writers(part))
    try:
        known = ranks.of_sample(program, sample) if static else ranks.shapes(program, sample, parts is not None)
        context = _context(program, known.shapes, part, ends)
    except LoadError as error:
        if written:
            # What can be put right, such as a rank that is not known, would be put right in vain.
            raise refusing.error(program.source.path, program.key, written) from error
        raise
    if sample is not None:
        inputs = {key: _rows(value, known.shapes.get(key)) for key, value in sample.inputs.items()}
        sample = dataclasses.replace(sample, inputs=inputs)
    context, covered = _sharing(context, proven(context, sample), sample)
    return _Covered(program, sample, context, covered, written, known.notes)


def _sharing(context: Context, covered: Cover, sample: codec.Arrays | None) -> tuple[Context, Cover]:
    """Returns a cover that has each trained variable once, where there is one that is proven; else the one given."""
    for _ in range(_MOST_ATTEMPTS):
        if covered.refusals:
            break
        trained = {variable.name for variable in context.graph.weights.values() if variable.trainable}
        several = {name: layers for name, layers in ties.untied(context, covered.pieces).items() if name in trained}
        if not several:
            break
        for other in (ties.giving(context, covered.pieces, several), context.sharing(several)):
            found = None if other is None else _proven_or_none(other, sample)
            if found is not None:
                break
        if other is None or found is None:
            break
        context, covered = other, found
    return context, covered


def _proven_or_none(context: Context, sample: codec.Arrays | None) -> Cover | None:
    try:
        found = proven(context, sample)
    except LoadError:
        return None
    return None if found.refusals else found


def _rows(value: np.ndarray, shape: tuple[int | None, ...] | None) -> np.ndarray:
    """Returns recorded values in rows of as many numbers as the model takes, where they have another form."""
    if shape is None or len(shape) != 2 or shape[1] is None or np.ndim(value) == 2:
        return value
    return np.reshape(value, (-1, shape[1]))


def _sample(path: str, program: Program) -> codec.Arrays | None:
    """Returns what was recorded, if it is of this signature."""
    file = os.path.join(path, codec.PATH)
    if not os.path.exists(file):
        return None
    sample = codec.read(file, LoadError, "Export again.")
    spec = program.source.signatures[program.key]
    fits = set(spec.inputs) <= set(sample.inputs) and set(spec.outputs) & set(sample.outputs)
    return sample if fits else None


def _context(
    program: Program, sizes: Mapping[str, tuple] | None, part: Part, ends: Sequence[carried.Carried]
) -> Context:
    reader = values.reader(program.source.bundle)
    keys = {f"carried/{end.variable.name}": end for end in ends}
    graph = choices.of_shared_weights(graphs.of_part(program, part, sizes, keys))
    graph, placed = dropouts.with_dropouts(graph, training.planned(program))
    graph = ties.with_bare_weights(canonical.simplified(graph, reader), reader)
    known = values.Values(graph, reader)
    context = Context(graph, known, Sizes(graph, known), repertoire.ALL)
    context.carried, context.carried_values = keys, {key: reader(end.variable) for key, end in keys.items()}
    context.training = dataclasses.replace(training.averages(program), dropouts=placed)
    return context


def proven(context: Context, sample: codec.Arrays | None) -> Cover:
    """Returns a cover whose pieces all do what the graph does; a match that does not gives way."""
    for _ in range(_MOST_ATTEMPTS):
        covered = cover.cover(context)
        if covered.refusals or sample is None:
            return covered
        progress.stage("comparing layers with the graph")
        wrong = proof.check(context, covered.pieces, {**sample.inputs, **context.carried_values})
        if not wrong:
            return covered
        context.rejected.update(wrong)
        context.start_anew()
        patterns = {*(pattern.name for pattern in context.patterns.of_model), as_layers.RULE, bidirectional.RULE}
        stubborn = {key: why for key, why in wrong.items() if key[0] not in patterns}
        if stubborn:
            refusals = tuple(
                cover.Refusal(tensor.node, rule, f"its code gives another answer: {why}")
                for (rule, tensor), why in stubborn.items()
            )
            return dataclasses.replace(covered, refusals=refusals)
    raise LoadError("No set of layers passes its proofs.\n  This is a bug; use SignatureLayer.")


def execute(code: str) -> keras.Model:
    """Returns the model that generated code builds; its weights are not those of the graph yet.

    Raises:
        LoadError: Keras refuses a part of it.
    """
    namespace: dict[str, Any] = {"__name__": "rebuilt_model"}
    exec(compile(code, "model.py", "exec"), namespace)
    try:
        return namespace["build"]()
    except Exception as error:  # whatever Keras and its backend raise, there is no such model
        raise LoadError(
            f"Keras refuses the rebuilt model: {type(error).__name__}: {proof.first_lines(error)}\n"
            "  Use SignatureLayer, or --dry_run to see what the model is made of."
        ) from error


def fill(model: keras.Model, layers: Sequence[Layer]) -> None:
    """Puts the weights into the model's layers."""
    for layer in layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(list(layer.weights))


def write(code: str, model: keras.Model, code_file: str, weights_file: str) -> None:
    """Writes the code and the weights."""
    with open(code_file, "w", encoding="utf-8") as stream:
        stream.write(code)
    model.save_weights(weights_file)


def prove(
    plan_: Plan, code: str, weights: str, backends: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Returns a line for each proof, by backend, and notes on what could not be proven.

    Raises:
        LoadError: the model answers something else on a backend, or does not run there.
    """
    if plan_.sample is None:
        return {}, ("no answers of this signature were recorded, so nothing is proven",)
    samples, notes = batches(plan_)
    outputs = list(plan_.context.outputs)
    questions = processes.Questions(code, weights, [batch for batch, _ in samples], outputs)
    proofs, wrong = {}, []
    for backend in progress.counted(backends, "proving it", unit="backends"):
        proofs[backend], different = compared(plan_, samples, processes.answers(backend, [questions])[0])
        wrong += [f"{backend}: {line}" for line in different]
    if wrong:
        raise LoadError(
            "The rebuilt model gives other answers, and was not written.\n  "
            + "\n  ".join(wrong)
            + "\n  Leave a backend out of --backends if it is not needed, or use SignatureLayer."
        )
    left_out = [name for name in processes.KNOWN if name not in backends]
    notes += [f"not proven on {name}" for name in left_out]
    return proofs, tuple(notes)


def compared(
    plan_: Plan, samples: Sequence[Batch], answers: processes.Answers
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns a line for each answer, and those of them, or what went wrong, that are no proof."""
    if isinstance(answers, str):
        return (), (f"it does not run: {answers}",)
    lines, wrong = [], []
    for (batch, want), have in zip(samples, answers, strict=True):
        rows = next((len(value) for value in batch.values() if np.ndim(value)), 0)
        for key in want:
            got = _of_type(have[key], want[key])
            noise = plan_.sample.noise.get(key, 0.0) if plan_.sample is not None else 0.0
            result = comparison.compare(key, want[key], got, noise=noise, sides=("in TensorFlow 1", "in Keras"))
            lines.append(f"{result}, batch of {rows}")
            if not result.equal:
                wrong.append(lines[-1])
    return tuple(lines), tuple(wrong)


def _of_type(have: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Returns an answer in the type that is wanted where the backend only has a narrower one of the kind, as JAX does."""
    narrower = have.dtype.kind == want.dtype.kind and have.dtype.itemsize < want.dtype.itemsize
    return have.astype(want.dtype) if narrower else have


def batches(plan_: Plan) -> tuple[list[Batch], list[str]]:
    """Returns inputs with the answers to them: those recorded, and SignatureLayer's for other sizes of the batch."""
    sample = plan_.sample
    assert sample is not None
    recorded = {key: np.asarray(sample.inputs[key]) for key in plan_.context.inputs}
    answers = {key: value for key, value in sample.outputs.items() if key in plan_.context.outputs}
    batches = [(recorded, answers)]
    layer = SignatureLayer(plan_.taken)

    def answered(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = layer(batch)
        given = given if isinstance(given, dict) else {next(iter(plan_.context.outputs)): given}
        return {key: np.asarray(given[key]) for key in answers}

    if plan_.context.carried:
        # The second call finds what the first one has written.
        answered(recorded)
        batches.append((recorded, answered(recorded)))
    shapes = [plan_.context.graph.shape(tensor) for tensor in plan_.context.inputs.values()]
    sizes = {len(value) for value in recorded.values() if value.ndim}
    if len(sizes) != 1 or not all(shape and shape[0] is None for shape in shapes):
        return batches, ["the batch has a fixed size, so no other was tried"]
    size = sizes.pop()
    for other in (1, size + 2):
        batch = {key: _of_size(value, other) for key, value in recorded.items()}
        try:
            batches.append((batch, answered(batch)))
        except Exception:  # the graph itself may be made for one size only
            return batches, [f"the graph itself fails on a batch of {other}, so no other size was tried"]
    return batches, []


def _of_size(value: np.ndarray, rows: int) -> np.ndarray:
    """Returns so many rows; floats that come again come smaller: where equal rows tie, rounding decides which is first."""
    again = value[np.arange(rows) % len(value)]
    if again.dtype.kind == "f":
        again[len(value) :] *= 0.9375
    return again


def report(plan_: Plan, proofs: Mapping[str, tuple[str, ...]] | None = None, notes: Sequence[str] = ()) -> Report:
    """Returns what a plan's model is made of."""
    own, printed, operations = Counter[str](), {}, Counter[str]()
    in_layers = 0
    for layer in plan_.layers:
        if layer.printed:
            printed[layer.printed.name] = layer.printed.reason
            own.update(part.kind for part in layer.parts)
        else:
            own[layer.kind] += 1
    for piece in plan_.covered.pieces:
        code = proof.without_virtual(plan_.context, piece.code)
        layers = [part.layer for part in expressions.walk(code) if isinstance(part, expressions.LayerCall)]
        if layers and not (layers[0].printed and not layers[0].parts):
            in_layers += len(piece.nodes)
        else:
            operations[piece.rule] += 1
    refused = plan_.covered.refusals
    # A graph without variables was frozen: which of its constants were weights is not known.
    learned = [layer for layer in plan_.layers if layer.variables] or plan_.layers
    weights = sum(value.size for layer in learned for value in layer.weights)
    held = sum(value.size for layer in plan_.layers for value in layer.weights)
    in_parts = (value for layer in learned if layer.printed for part in layer.parts for value in part.weights)
    standard = [value for layer in learned if not layer.printed for value in layer.weights] + [*in_parts]
    return Report(
        layers=own,
        printed=printed,
        operations=operations,
        nodes=sum(len(piece.nodes) for piece in plan_.covered.pieces) + len({refusal.node for refusal in refused}),
        nodes_in_layers=in_layers,
        weights=weights + _outside(plan_),
        constants=held - weights,
        standard_weights=sum(value.size for value in standard),
        lines=None if refused else source.lines_of_code(plan_.source),
        live=sum(1 for _ in subgraph.all_nodes(plan_.taken.serve.graph_def)),
        islands=tuple(refusing.islands(plan_.context, refused)),
        misses=plan_.covered.misses,
        proofs=proofs or {},
        notes=(*notes, *plan_.notes),
    )


def _outside(plan_: Plan) -> int:
    """Returns how many numbers there are in the weights that only nodes without code read."""
    context = plan_.context
    known = {name for layer in plan_.layers for name in layer.variables}
    read = {
        tensor
        for refusal in plan_.covered.refusals
        if refusal.node in context.graph.index.nodes
        for tensor in context.graph.sources(Tensor(refusal.node))
        if context.values.kind(tensor) == "weight"
    }
    variables = {variable.name: variable for tensor in read for variable in context.values.variables(tensor)}
    return sum(int(np.prod(v.shape)) for name, v in variables.items() if name not in known)


def _regularized(program: Program, layers: Sequence[Layer]) -> list[str]:
    """Gives layers the regularizers of their variables, and returns what to know of those that no layer has."""
    reader = values.reader(program.source.bundle)
    wanted, others = regularizers.penalties(program)
    known = {variable.name: reader(variable) for variable in program.variables if variable.name in wanted}
    left = regularizers.add(layers, wanted, known)
    notes = [f"regularization losses of these variables are not in the model: {quoted(left)}"] if left else []
    if others:
        notes.append(
            f"{others} regularization losses are no sums of absolute values or squares, and are not in the model"
        )
    return notes


def _notes(program: Program, context: Context, covered: Cover, layers: Sequence[Layer]) -> list[str]:
    """Returns what to know before the model is trained."""
    copies = list(ties.untied(context, covered.pieces))
    notes = training.notes(program, context.training, layers)
    if context.carried:
        names = [end.variable.name for end in context.carried.values()]
        notes.append(f"each call writes these variables, which layer State keeps, and no call trains: {quoted(names)}")
    if copies:
        notes.append(
            f"each of these variables is in several layers, which training would change independently: {quoted(copies)}"
        )
    if context.computed:
        notes.append(
            "layers hold what the graph computes of these variables, and training changes that in the place of the"
            f" variables: {quoted(sorted(context.computed))}"
        )
    return notes
