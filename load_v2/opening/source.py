"""The Python source of a rebuilt model."""

import ast
import itertools
import os
import re
from collections.abc import Mapping

from load_v2.opening import block_loops, block_text, blocks, expressions, naming, printed, text
from load_v2.opening.context import Context
from load_v2.opening.layers import Layer
from load_v2.opening.statements import Program, Statement, layers_of
from load_v2.program import program as programs
from load_v2.program.signature import Spec


def write(program: Program, context: Context, specs: Mapping[str, Spec], title: str) -> str:
    """Returns the source of a module with the function `build`; it imports Keras, and NumPy where it needs it.

    Args:
        program: the statements; their layers get their names here.
        context: whose inputs they read.
        specs: input key -> what the signature says of it.
        title: where the model came from, for the docstring.
    """
    own_names = naming.name_inputs(context.inputs)
    naming.name_layers(layers_of(program.statements), own_names.values())
    naming.name_classes(layers_of(program.statements))
    shared = {id(layer): layer for layer in naming.name_shared_layers(program)}
    variables = {layer.variable for layer in shared.values()}
    statements, functions = blocks.factored(program, variables)
    items = block_loops.found(statements, program.ends)
    folded = Program(tuple(map(block_text.as_statement, items)), program.outputs)
    called = {function.name for function in functions}
    names = naming.name_values(folded, context.inputs, shared=variables | called)
    lines = block_text.body(items, program.outputs, names, frozenset(context.inputs.values()))
    body = [
        f"    {names[tensor]} = {_input(own_names[key], specs[key], context.graph.shape(tensor))}"
        for key, tensor in context.inputs.items()
    ]
    section = ""
    made: set[int] = set()
    for line, statement, heading in zip(lines, folded.statements, _sections(folded.statements), strict=True):
        if heading != section and heading:
            body += ["", f"    # {heading}"]
        section = heading
        for part in expressions.walk(statement.code):
            if isinstance(part, expressions.LayerCall) and id(part.layer) in shared and id(part.layer) not in made:
                made.add(id(part.layer))
                body.append(_made(part.layer))
        body.append(line)
    body.append(_returned(program, context, names))
    classes = {layer.printed.source: None for layer in layers_of(program.statements) if layer.printed}
    module = "\n".join(body)
    own = [*classes, *(block_text.function(function, called) for function in functions)]
    helpers = printed.helpers("\n".join([*own, module]))
    definitions = "".join(f"\n\n{definition.rstrip()}\n" for definition in [*helpers, *own])
    says = expressions.docstring_text(f"{title}\n")
    return f"{says}\n\n{_imports(module + definitions)}{definitions}\n\n{_HEADER}{module}\n"


def title(program: programs.Program) -> str:
    """Returns the docstring of the module: where the model comes from, and how to load and to check it."""
    record = program.source.record
    lines = [f"Signature {program.key!r} of a TensorFlow 1 graph, in Keras's own layers.", ""]
    if record is not None and record.source is not None:
        name = os.path.basename(os.path.normpath(record.source.path))
        lines.append(f"Source: {record.source.kind.replace('_', ' ')} {name!r}; the layers are named after its scopes.")
    lines += [
        'The model is `build()` with its weights, `model.load_weights("model.weights.h5")`, on any backend of Keras.',
        "To check it, give it the inputs in the export's assets.extra/sample.npz; the answers of TensorFlow 1 are there, too.",
    ]
    return "\n".join(lines)


_HEADER = '''\
def build() -> keras.Model:
    """Returns the model, its weights not yet loaded."""
'''


def _imports(code: str) -> str:
    imports = ["import keras"]
    if re.search(r"\bnp[.,]", code):
        imports.append("import numpy as np")
    used = [name for name in ("layers", "ops") if re.search(rf"\b{name}[.,]", code)]
    return "\n".join(imports + ([f"from keras import {', '.join(used)}"] if used else [])) + "\n"


def _input(name: str, spec: Spec, shape: tuple[int | None, ...] | None) -> str:
    size = f"batch_shape={shape!r}" if not shape or shape[0] is not None else repr(tuple(shape[1:]))
    dtype = "" if spec.dtype == "float32" else f', dtype="{spec.dtype}"'
    return f'keras.Input({size}{dtype}, name="{name}")'


def _made(layer: Layer) -> str:
    arguments = text.constructor_arguments(layer)
    whole = f"    {layer.variable} = {layer.constructor}({', '.join(arguments)})"
    if len(whole) <= text.WIDTH:
        return whole
    return "\n".join([f"    {layer.variable} = {layer.constructor}(", *(f"        {a}," for a in arguments), "    )"])


def _returned(program: Program, context: Context, names) -> str:
    inputs = [f"{expressions.literal_text(key)}: {names[tensor]}" for key, tensor in context.inputs.items()]
    outputs = {key: text.flat(code, names) for key, code in program.outputs.items()}
    pairs = [f"{expressions.literal_text(key)}: {value}" for key, value in outputs.items()]
    ends = next(iter(outputs.values())) if len(outputs) == 1 else f"{{{', '.join(pairs)}}}"
    whole = f"    return keras.Model({{{', '.join(inputs)}}}, {ends})"
    if len(whole) <= text.WIDTH:
        return whole
    given = ends if len(outputs) == 1 else _entries(pairs)
    return f"    return keras.Model(\n        {_entries(inputs)},\n        {given},\n    )"


def _entries(pairs: list[str]) -> str:
    """Returns a dict that is an argument of the model, with a line for each entry where one line is too long."""
    whole = f"{{{', '.join(pairs)}}}"
    if len(whole) + 9 <= text.WIDTH:
        return whole
    return "{\n" + "".join(f"            {pair},\n" for pair in pairs) + "        }"


# Statements of a section that is worth a heading.
_SHORTEST_SECTION = 3


def lines_of_code(source: str) -> int:
    """Returns how many lines of a module are code: no docstrings, comments, imports or blank lines."""
    tree = ast.parse(source)
    none: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            none.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            none.add(node.lineno)
    lines = enumerate(source.splitlines(), 1)
    return sum(1 for number, line in lines if number not in none and line.strip() and line.strip()[0] != "#")


def _sections(statements: tuple[Statement, ...]) -> list[str]:
    """Returns the heading under which each statement stands, "" for none: the outermost scope that not all of them share.

    There are headings only where they part the code into sections of several statements, each in one place.
    """
    scopes = [statement.scope.split("/") for statement in statements]
    depth = 0
    while scopes and all(len(scope) > depth + 1 for scope in scopes) and len({scope[depth] for scope in scopes}) == 1:
        depth += 1
    headings = [scope[depth] if len(scope) > depth + 1 else "" for scope in scopes]
    runs = {heading: len(list(run)) for heading, run in itertools.groupby(headings) if heading}
    apart = sum(1 for heading, _ in itertools.groupby(headings) if heading)
    if not 2 <= apart == len(runs) or len(statements) < 3 * len(runs) or min(runs.values()) < _SHORTEST_SECTION:
        return [""] * len(statements)
    return headings
