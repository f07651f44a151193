"""The page itself: HTML with its style, its script and its data inside, and nothing from anywhere else."""

import html
import importlib.resources
import json
from collections.abc import Iterable, Sequence

from export_v1.format.comparison import Verdict
from load_v2.page import plots
from load_v2.page.facts import Facts
from load_v2.page.proof import Plot
from load_v2.page.weights import Numbers
from load_v2.program import artefact
from load_v2.program.signature import Signature

# The page asks nothing of any network, and a browser holds it to that.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_VERDICT_CLASS = {Verdict.EQUAL: "good", Verdict.DIFFERENT: "bad", Verdict.NOT_PROVEN: "unsure"}
# Weights shown without a click.
_SHOWN = 40


def text(facts: Facts) -> str:
    """Returns the page."""
    title = f"{facts.source.path}: a TensorFlow 1 model, exported"
    sections = [
        ("Inputs and outputs", "signatures", _signatures(facts)),
        ("From the training graph to the export", "way", _way(facts)),
        ("The graph, by scope", "graph", _picture(facts)),
        ("What was chosen, and why", "choices", _choices(facts)),
        ("The proof", "proof", _proof(facts)),
        ("Weights", "weights", _weights(facts)),
        ("What can't be done with it, and why", "limits", _limits(facts)),
    ]
    contents = "".join(f'<a href="#{key}">{_e(name)}</a>' for name, key, _ in sections)
    body = "".join(f'<section id="{key}"><h2>{_e(name)}</h2>{content}</section>' for name, key, content in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_e(title)}</title><style>{_resource('page.css')}</style></head><body>"
        f"<header>{_head(facts)}</header><nav>{contents}</nav><main>{body}</main>"
        f"<footer>Written by python -m load_v2 report, {_e(facts.versions)}.</footer>"
        f'<script type="application/json" id="data">{_data(facts)}</script>'
        f"<script>{_resource('page.js')}</script></body></html>\n"
    )


def _resource(name: str) -> str:
    return importlib.resources.files("load_v2.page").joinpath(name).read_text(encoding="utf-8")


def _data(facts: Facts) -> str:
    record = facts.source.record
    data = {
        "scopes": {name: list(pair) for name, pair in record.scopes.items()} if record else {},
        "graphs": {key: graph.to_json() for key, graph in facts.graphs.items()},
    }
    # No text of a model may end the script element.
    return json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _e(value: object) -> str:
    return html.escape(str(value))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Returns a table of cells that are HTML already; on narrow screens each cell says what it is."""
    head = "".join(f'<th scope="col">{_e(name)}</th>' for name in heads)
    body = "".join(
        "<tr>"
        + "".join(f'<td data-head="{_e(name)}">{cell}</td>' for name, cell in zip(heads, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _badge(verdict: Verdict, words: str = "") -> str:
    return f'<span class="badge {_VERDICT_CLASS[verdict]}">{_e(words or verdict)}</span>'


def _head(facts: Facts) -> str:
    source, record = facts.source, facts.source.record
    numbers = [("weights", f"{len(source.variables):,}"), ("numbers in them", f"{facts.size:,}")]
    if record and record.nodes.original:
        numbers[:0] = [
            ("nodes in the training graph", f"{record.nodes.original:,}"),
            ("of them in the export", f"{record.nodes.kept:,}"),
        ]
    origin = (
        f"from {_e(record.source.kind)} <code>{_e(record.source.path)}</code>"
        if record and record.source
        else "not written by step 1"
    )
    version = (
        f", written by TensorFlow {_e(record.graph_tensorflow_version)}"
        if record and record.graph_tensorflow_version
        else ""
    )
    listed = "".join(f"<div><dt>{_e(name)}</dt><dd>{value}</dd></div>" for name, value in numbers)
    return (
        f"<h1>{_e(source.path)}</h1><p>{origin}{version}</p>"
        f"<p>{_badge(facts.verdict)} {_e(facts.conclusion)}</p><dl class='figures'>{listed}</dl>"
    )


def _signatures(facts: Facts) -> str:
    return (
        "".join(f"<h3>{_e(key)}</h3>{_specs(signature)}" for key, signature in facts.source.signatures.items())
        or "<p>It has no signature.</p>"
    )


def _specs(signature: Signature) -> str:
    rows = [
        (side, f"<code>{_e(key)}</code>", _e(spec), f"<code>{_e(spec.tensor)}</code>")
        for side, specs in (("in", signature.inputs), ("out", signature.outputs))
        for key, spec in specs.items()
    ]
    return _table(("", "key", "type and shape", "tensor"), rows, "stacks")


def _way(facts: Facts) -> str:
    record = facts.source.record
    if record is None or not record.nodes.original:
        return "<p>Nothing is known of the graph that it was made of: step 1 did not write it.</p>"
    nodes = record.nodes
    share = 100 * nodes.kept / nodes.original
    lines = [
        f"{nodes.original:,} nodes were in the graph, {nodes.kept:,} of them are in the export, {nodes.dropped:,} are not"
        + (f"; {nodes.folded:,} were folded away with conditions on frozen values." if nodes.folded else ".")
    ]
    lines += [f"{count} {kind} made functional." for kind, count in record.converted.items() if count]
    lines += [f"{item.count} {item.op} replaced by {item.by}." for item in record.replaced]
    lines += [f"{item.construct} stayed as it was: {item.why}." for item in record.unconverted]
    bar = (
        f'<div class="split" role="img" aria-label="{share:.0f} percent kept"><i style="width:{share:.2f}%"></i></div>'
    )
    if record.scopes:
        tree = (
            '<p class="tools"><button data-tree="open">Open one level</button> <button data-tree="close">Close</button></p>'
            '<div id="tree"><noscript>The scopes can be opened where scripts run.</noscript></div>'
        )
    else:
        tree = "<p>An earlier version wrote it, which did not count nodes by scope.</p>"
    return bar + "".join(f"<p>{_e(line)}</p>" for line in lines) + tree


def _picture(facts: Facts) -> str:
    if not facts.graphs:
        return "<p>There is no signature to draw.</p>"
    options = "".join(f"<option>{_e(key)}</option>" for key in facts.graphs)
    left_out = f"<p>{facts.not_drawn:,} ops are not drawn: there are too many.</p>" if facts.not_drawn else ""
    return (
        "<p>What data passes through, from the inputs down; weights are counted, not drawn. "
        "Press a scope to open or close it.</p>"
        f'<p class="tools"><label>Signature <select id="which">{options}</select></label> '
        '<button data-picture="open">Open one level</button> <button data-picture="close">Close</button></p>'
        f'<div id="picture" tabindex="0" role="group" aria-label="The graph by scope"></div>{left_out}'
    )


def _choices(facts: Facts) -> str:
    record = facts.source.record
    if record is None:
        return "<p>Nothing is recorded: step 1 did not write it.</p>"
    rows = [(_e(choice.what), _e(choice.why)) for choice in record.choices]
    frozen = [
        (f"<code>{_e(tensor)}</code>", mode, f"<code>{_e(value)}</code>")
        for mode, values in (("inference", record.frozen), ("training", record.train_frozen))
        for tensor, value in values.items()
    ]
    parts = [
        _table(("chosen", "because"), rows, "stacks") if rows else "<p>Everything was given; nothing was chosen.</p>"
    ]
    if frozen:
        parts.append("<h3>Held fixed</h3>" + _table(("tensor", "in", "to"), frozen, "stacks"))
    if record.warnings:
        parts.append("<h3>Warnings</h3><ul>" + "".join(f"<li>{_e(line)}</li>" for line in record.warnings) + "</ul>")
    return "".join(parts)


def _proof(facts: Facts) -> str:
    parts = [f"<p>{_badge(facts.verdict)} {_e(facts.conclusion)}</p>"]
    parts += [_output(plot) for plot in facts.plots]
    parts.append(
        "<h3>All that was compared</h3><ul>" + "".join(f"<li>{_e(line)}</li>" for line in facts.findings) + "</ul>"
    )
    return "".join(parts)


def _output(plot: Plot) -> str:
    compared = plot.comparison
    drawn = plots.scatter(plot) + plots.differences(plot)
    which = "the first set of inputs" if not plot.number else f"set {plot.number + 1} of the inputs"
    words = (
        f"{plot.elements:,} elements; {compared.difference}. Largest difference of all: {which}, through {plot.reader}."
    )
    body = drawn or "<p>Strings, or answers of two shapes: there is nothing to plot.</p>"
    return f"<h3><code>{_e(compared.key)}</code> {_badge(compared.verdict)}</h3><p>{_e(words)}</p><div class='plots'>{body}</div>"


def _weights(facts: Facts) -> str:
    if not facts.numbers:
        return f"<p>{_e(facts.no_numbers or 'The export has no variables.')}</p>"
    not_finite = [(variable, numbers) for variable, numbers in facts.numbers if numbers.nan or numbers.infinite]
    parts = [
        f'<p class="bad">{_e(variable.name)} holds {_not_finite(numbers)}.</p>' for variable, numbers in not_finite
    ]
    if not not_finite:
        parts.append(f"<p>{len(facts.numbers):,} weights, {facts.size:,} numbers; all of them are finite.</p>")
    rows = [_weight(facts, variable, numbers) for variable, numbers in facts.numbers]
    heads = ("weight", "shape", "values", "mean ± deviation", "range", "checkpoint key, CRC-32C")
    parts.append(
        '<p class="tools"><label>Show those with <input id="filter" type="search" size="20"></label> in their names</p>'
    )
    parts.append(f'<div id="rows">{_table(heads, rows[:_SHOWN], "stacks")}')
    if rows[_SHOWN:]:
        parts.append(
            f"<details><summary>{len(rows) - _SHOWN:,} more</summary>{_table(heads, rows[_SHOWN:], 'stacks')}</details>"
        )
    return "".join(parts) + "</div>"


def _not_finite(numbers: Numbers) -> str:
    counted = [f"{numbers.nan:,} NaN"] * bool(numbers.nan) + [f"{numbers.infinite:,} infinite"] * bool(numbers.infinite)
    return " and ".join(counted)


def _weight(facts: Facts, variable: artefact.Variable, numbers: Numbers) -> tuple[str, ...]:
    entry = facts.entries.get(variable.name)
    key = f"<code>{_e(entry.checkpoint_key)}</code>" if entry and entry.checkpoint_key else "not from a checkpoint"
    crc = f"<br><code>{entry.crc32c:08x}</code>" if entry and entry.crc32c is not None else ""
    changed = " <span class='badge bad'>changed</span>" if variable.name in facts.damaged else ""
    if numbers.lowest is None:
        spread, extent = "", ""
    else:
        spread, extent = f"{numbers.mean:.3g} ± {numbers.spread:.3g}", f"{numbers.lowest:.3g} to {numbers.highest:.3g}"
    flaw = f"<br><b class='bad'>{_not_finite(numbers)}</b>" if numbers.nan or numbers.infinite else ""
    return (
        f"<code>{_e(variable.name)}</code>" + ("" if variable.trainable else "<br><small>not trainable</small>"),
        f"{_e(variable.dtype)}<br>{_e(list(variable.shape))}",
        plots.histogram(numbers.bins, f"histogram of {variable.name}") + flaw,
        spread,
        extent,
        key + crc + changed,
    )


def _limits(facts: Facts) -> str:
    if not facts.limits:
        return "<p>No limit is known.</p>"
    return _table(
        ("what can't be done", "why", "what to do"),
        [(_e(limit.what), _e(limit.why), _e(limit.remedy)) for limit in facts.limits],
        "stacks",
    )
