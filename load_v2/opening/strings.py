"""A graph with strings, tables or files, in three: what is before the first numbers, numbers alone, what is behind the last.

What draws random numbers, or gives what it finds, as a decoder does, can be left behind, too. The parts at the ends stay
what they are, a SignatureLayer each; the part between them becomes a Keras model.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from export_v1.format import comparison
from export_v1.format import sample as codec
from export_v1.ir import library, ops, randomness
from export_v1.ir.graph import NodeDef, Tensor
from load_v2.errors import LoadError, quoted
from load_v2.layer.signature_layer import SignatureLayer
from load_v2.opening import expressions, naming
from load_v2.opening import graph as graphs
from load_v2.opening.graph import Graph
from load_v2.opening.statements import hint
from load_v2.opening.values import in_order
from load_v2.program import program as programs
from load_v2.program.program import Program
from load_v2.program.signature import Signature, Spec

# No Keras model has such tensors inside that also runs without TensorFlow.
_NO_NUMBERS = frozenset({"string", "resource"})
# Beside tensors of whole numbers, what is made before the model where all that it reads is.
_PREPARES = ("Sparse", "Ragged", "Parse", "Decode", "AudioSpectrogram", "Mfcc")
# Ops that give as much as they find: no backend but TensorFlow has tensors of such sizes in a model.
_FINDS = ("CTCGreedyDecoder", "CTCBeamSearchDecoder", "NonMaxSuppression", "CombinedNonMaxSuppression")


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The parts of a signature; each reads the original inputs and what the parts before it give, by key.

    Attributes:
        core: the part that becomes a model.
        front: what gives the model's inputs, None where they are all the signature's own.
        back: what makes the rest of the signature's outputs, such as strings, of numbers that the model gives; None where
            the model gives all of them.
        outputs: of the signature, by key.
        drawn: those that random numbers stand before -> the op.
    """

    core: Program
    front: Program | None
    back: Program | None
    outputs: tuple[str, ...]
    drawn: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def ends(self) -> tuple[Program | None, Program | None]:
        """What is before the model, and what is behind it."""
        return self.front, self.back

    @property
    def notes(self) -> tuple[str, ...]:
        """What to do before and after the model."""
        notes = []
        if self.front:
            made = ", ".join(f"{key} {spec}" for key, spec in signature_of(self.front).outputs.items())
            notes.append(f"strings, tables and files stay outside: `front`, a SignatureLayer, makes {made} (--front=…)")
            if self.front.variables:
                held = quoted([variable.name for variable in self.front.variables])
                notes.append(f"`front` holds weights, which it reads by the values of sparse tensors: {held}")
        if self.back:
            read, made = quoted(list(signature_of(self.back).inputs)), quoted(list(signature_of(self.back).outputs))
            notes.append(f"`back`, a SignatureLayer, makes {made} of {read}, which the model gives (--back=…)")
        notes += [f"output {key!r} is random, {op}, and compared with nothing" for key, op in self.drawn.items()]
        return tuple(notes)

    def sample(self, recorded: codec.Arrays | None) -> codec.Arrays | None:
        """Returns the recorded inputs and answers as the model has them.

        Raises:
            LoadError: the three parts, one after another, give other answers than those recorded.
        """
        if recorded is None:
            return None
        known = {key: np.asarray(value) for key, value in recorded.inputs.items()}
        for part in filter(None, (self.front, self.core, self.back)):
            known.update(answered(part, known))
        compared = [
            comparison.compare(key, recorded.outputs[key], known[key])
            for key in recorded.outputs
            if key not in self.drawn
        ]
        if wrong := [str(comparison) for comparison in compared if not comparison.equal]:
            raise LoadError(
                "The graph in parts, strings apart from numbers, gives other answers.\n  "
                + "\n  ".join(wrong)
                + "\n  This is a bug; use SignatureLayer."
            )
        inputs = {key: known[key] for key in signature_of(self.core).inputs}
        outputs = {key: known[key] for key in signature_of(self.core).outputs}
        return dataclasses.replace(recorded, inputs=inputs, outputs=outputs)


def signature_of(part: Program) -> Signature:
    """Returns the inputs and the outputs of a part."""
    return part.source.signatures[part.key]


def answered(part: Program, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns what a part gives for those of the inputs that it reads, by key."""
    given = SignatureLayer(part)({key: inputs[key] for key in signature_of(part).inputs})
    given = given if isinstance(given, dict) else {next(iter(signature_of(part).outputs)): given}
    return {key: np.asarray(value) for key, value in given.items()}


def left_behind(program: Program, nodes: Iterable[str]) -> frozenset[str]:
    """Returns those of some nodes that a model can do without: they draw random numbers, or give what they find.

    A loop or a condition that has such an op inside is one, too.
    """
    index = graphs.of_part(program, program.serve).index
    draws = randomness.drawing(index)
    bodies = {function.signature.name: function.node_def for function in index.graph_def.library.function}
    return frozenset(name for name in nodes if name in draws or (name in index and _finds(index[name], bodies)))


def _finds(node: NodeDef, bodies: Mapping[str, Iterable[NodeDef]]) -> bool:
    inside = (part for name in library.called_by(node) for part in bodies.get(name, ()))
    return node.op.startswith(_FINDS) or any(_finds(part, bodies) for part in inside)


def split(program: Program, behind: Collection[str] = ()) -> Split | None:
    """Returns the parts of a signature.

    Args:
        taken: the signature.
        behind: nodes of numbers that are left behind the model all the same, with what is made of them.

    Returns:
        None where all is numbers; where numbers become strings and numbers again; where weights would be left behind; and
        where each output that is not is random.
    """
    graph = graphs.of_part(program, program.serve)
    sides = _Sides(graph, behind)
    if not (sides.front or sides.back) or sides.mixed:
        return None
    signature = signature_of(program)
    names = {tensor: input_key for input_key, tensor in graph.inputs.items()}
    outputs = {tensor: output_key for output_key, tensor in graph.outputs.items()}
    specs = {tensor: signature.inputs[input_key] for tensor, input_key in names.items()}
    taken_names = set(signature.inputs) | set(signature.outputs)

    def spec_of(tensor: Tensor) -> tuple[str, Spec]:
        if tensor not in names:
            names[tensor] = outputs.get(tensor) or naming.fresh(sides.name(tensor), taken_names)
            specs[tensor] = Spec(tensor.name, graph.dtype(tensor), graph.shape(tensor))
        return names[tensor], specs[tensor]

    def ends_of(nodes: Iterable[str], given: Iterable[Tensor]) -> Signature:
        members = set(nodes)
        crossing = dict.fromkeys(
            t for n in graph.graph_def.node if n.name in members for t in graph.sources(Tensor(n.name))
        )
        given = dict.fromkeys(given)
        read_ = [t for t in (*crossing, *given) if t.node not in members and (t.node in sides.data or t in names)]
        made = [t for t in given if t.node in members]
        return Signature(dict(map(spec_of, dict.fromkeys(read_))), dict(map(spec_of, made)))

    middle = [name for name in sides.data if name not in sides.front | sides.back | sides.inputs]
    ends = list(graph.outputs.values())
    into_back = sides.read_by(sides.back)
    wanted = [t for t in (*ends, *into_back) if t.node in middle]
    if not wanted:
        return None
    into_core = [t for t in sides.read_by(middle) if t.node in sides.front]
    front_gives = [*into_core, *(t for t in (*ends, *into_back) if t.node in sides.front - sides.inputs)]
    signatures = {
        "front": ends_of(sides.front - sides.inputs, front_gives),
        "core": ends_of(middle, wanted),
        "back": ends_of(sides.back, [t for t in ends if t.node in sides.back]),
    }
    whole = dataclasses.replace(program.source, signatures=signatures)
    parts = {name: programs.take(whole, name) if s.outputs else None for name, s in signatures.items()}
    assert parts["core"] is not None
    drawn = randomness.sources(graph.index, {key: tensor.name for key, tensor in graph.outputs.items()})
    if sides.holds_weights() or (drawn and not any(tensor.node in middle for tensor in ends)):
        return None
    return Split(parts["core"], parts["front"], parts["back"], tuple(signature.outputs), drawn)


class _Sides:
    """The nodes of a graph that depend on data, by where they are.

    Attributes:
        inputs: nodes that are the graph's inputs.
        data: names of nodes that depend on data, each after those that it reads.
        front: strings and what is made of them before the first numbers of the model, string inputs among it.
        back: strings that are made of numbers; and what is in `behind`.
        behind: nodes that are left behind the model, what is made of them, and the shapes and lists that only these read.
        mixed: whether numbers are made of those in turn.
    """

    def __init__(self, graph: Graph, behind: Collection[str]):
        self._graph = graph
        self.inputs = {tensor.node for tensor in graph.inputs.values()}
        self.front: set[str] = set()
        self.back: set[str] = set()
        self.behind: set[str] = set()
        self.mixed = False
        self.data: dict[str, None] = {}
        for name in in_order(graph):
            node = graph.index[name]
            above = {tensor.node for tensor in graph.sources(Tensor(name)) if tensor.node in self.data}
            if not above and name not in self.inputs and name not in behind:
                continue
            self.data[name] = None
            if name in behind or above & self.behind:
                self.behind.add(name)
                self.back.add(name)
            elif name in self.inputs:
                self.front.update({name} if graph.dtype(Tensor(name)) in _NO_NUMBERS else ())
            elif self._touches(node):
                (self.front if above <= self.front | self.inputs else self.back).add(name)
            elif above & self.front and above <= self.front | self.inputs and self._prepares(node):
                self.front.add(name)
            self.mixed = self.mixed or (bool(above & self.back) and name not in self.back)
        self._take_sparse_sums()
        if self.behind:
            self._leave_shapes()

    def _leave_shapes(self) -> None:
        """Moves what is computed of shapes alone, and lists, for nothing but what is left behind, there, too."""
        ends = {tensor.node for tensor in self._graph.outputs.values()}
        shapes: set[str] = set()
        for name in self.data:
            above = {tensor.node for tensor in self._graph.sources(Tensor(name)) if tensor.node in self.data}
            if self._graph.index[name].op in ops.SIZES or (above and above <= shapes):
                shapes.add(name)
        for name in reversed([*self.data]):
            readers = {reader.name for reader, _ in self._graph.index.consumers(name)}
            is_asked_for = name in shapes or self._lists(self._outputs(self._graph.index[name]))
            if is_asked_for and name not in self.back | ends and readers <= self.behind:
                self.behind.add(name)
                self.back.add(name)

    def holds_weights(self) -> bool:
        """Returns whether weights, as variables or as constants, are in what is left behind."""
        graph = self._graph
        read = {t.node for name in self.behind for t in graph.sources(Tensor(name)) if t.node not in self.data}
        return any(
            name in graph.weights or _elements(graph, name) > expressions.LARGEST_LITERAL
            for name in graph.index.ancestors(read)
        )

    def _take_sparse_sums(self) -> None:
        """Moves sums over the values of sparse tensors to the front, with all that is in them: a model has rows of one length."""
        for name in self.data:
            above = {at for at in self._graph.index.ancestors([name]) if at in self.data and at not in self.inputs}
            if self._graph.index[name].op.startswith("SparseSegment") and above & self.front and not above & self.back:
                self.front |= above

    def _outputs(self, node: NodeDef) -> list[Tensor]:
        tensors, index = [], 0
        while (tensor := Tensor(node.name, index)) in self._graph:
            tensors.append(tensor)
            index += 1
        return tensors

    def _touches(self, node: NodeDef) -> bool:
        tensors = [*self._graph.sources(Tensor(node.name)), *self._outputs(node)]
        return any(self._graph.dtype(tensor) in _NO_NUMBERS for tensor in tensors)

    def _prepares(self, node: NodeDef) -> bool:
        """Returns whether a node is no part of a model: it makes whole numbers, or reads or makes what is no tensor."""
        tensors = [*self._graph.sources(Tensor(node.name)), *self._outputs(node)]
        lists = self._lists(tensors)
        whole = all(self._graph.dtype(tensor).startswith(("int", "uint", "bool")) for tensor in self._outputs(node))
        return whole or lists or node.op.startswith(_PREPARES)

    def _lists(self, tensors: Iterable[Tensor]) -> bool:
        return any(self._graph.dtype(tensor) == "variant" for tensor in tensors)

    def name(self, tensor: Tensor) -> str:
        """Returns what a tensor may be called: after the one input that it is made of, else after its node."""
        above = {*self._graph.index.ancestors([tensor.node])} & self.inputs
        keys = [key for key, source in self._graph.inputs.items() if source.node in above]
        if tensor.node not in self.front or len(keys) != 1:
            return naming.identifier(hint(tensor.node))
        return f"{keys[0]}_{'ids' if self._graph.dtype(tensor).startswith('int') else 'values'}"

    def read_by(self, nodes: Iterable[str]) -> list[Tensor]:
        """Returns the tensors that depend on data and are made elsewhere, but read by nodes."""
        members = set(nodes)
        tensors = (t for name in self.data if name in members for t in self._graph.sources(Tensor(name)))
        return list(dict.fromkeys(t for t in tensors if t.node in self.data and t.node not in members))


def _elements(graph: Graph, name: str) -> int:
    """Returns how many numbers a constant has, 0 for any other node."""
    if graph.index[name].op != "Const":
        return 0
    return math.prod(dim.size for dim in graph.index[name].attr["value"].tensor.tensor_shape.dim)
