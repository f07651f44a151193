"""load_checkpoint_weights: plan, refuse or go on, assign, prove."""

import logging
import os
from collections.abc import Iterable

import keras

from load_v2.errors import LoadError
from load_v2.porting import ema as averages
from load_v2.porting import planning, proof, source_graph, starter, target, values
from load_v2.porting import rules as rules_module
from load_v2.porting.account import Report
from load_v2.porting.entries import Checkpoint
from load_v2.porting.rules import Rule

_LOG = logging.getLogger(__name__)


def load_checkpoint_weights(
    model: keras.Model,
    checkpoint: str | os.PathLike,
    rules: str | os.PathLike | Iterable[Rule] | None = None,
    *,
    strict: bool = True,
    ema: bool | None = None,
    expect: str | os.PathLike | None = None,
) -> Report:
    """Loads a TF1 checkpoint's variables into a Keras model, completely or not at all, and proves it.

    Guaranteed when it returns (with `strict`): every weight of the model, but those that a rule keeps, holds a value from
    the checkpoint, read back and equal bit for bit; every variable of the checkpoint is used, or skipped for a reason that
    the report gives. When it raises, the model is as it was. Values pass through memory one weight at a time.

    Args:
        model: a built Keras 3 model or layer. One that is not built is built by the inputs of `expect`.
        checkpoint: a prefix, its folder, or any of its files; V1 and V2, whole or sharded.
        rules: a TOML file or Rule objects, tried first; what they do not mention is matched by itself.
        strict: False loads what fits, and returns the rest in the report instead of raising.
        ema: True takes ExponentialMovingAverage values where there are any, False the plain ones; None does as the
            rules file says, and takes the plain ones if it says nothing.
        expect: an .npz file with `in/KEY` and `out/KEY`: the model must answer these inputs with these outputs.

    Raises:
        LoadError: anything does not fit; one message names all of it, with candidates as rules to paste.
    """
    rule_set = rules_module.load(rules)
    source = Checkpoint(checkpoint)
    expected = proof.Expected.read(expect) if expect is not None else None
    if expected and isinstance(model, keras.layers.Layer) and not (model.built and model.weights):
        expected.ask(model)
    variables = target.variables(model)
    report = _planned(model, source, rule_set, rule_set.ema if ema is None else ema)
    for choice in report.choices:
        _LOG.info("%s", choice)
    if strict and not report.complete:
        raise report.refusal()
    values.rehearse(report.assignments, source.read, variables)
    # Only answers can still go wrong from here on; without any to give, nothing needs to be kept.
    touched = [variables[assignment.weight] for assignment in report.assignments]
    with values.backup(touched if expected and strict else []):
        values.assign(report.assignments, source.read, variables)
        _prove(report, source, variables, model, expected, strict)
    return report


def suggest_rules(model: keras.Model, checkpoint: str | os.PathLike, *, ema: bool | None = None) -> str:
    """Returns a rules file to begin with: every variable and every weight once; nothing is loaded.

    What names and shapes decide stands in it as it is matched without rules; for the rest there are proposals, by names
    as a person reads them and by shapes, with the steps that would fit. They are to be looked at: nothing proves them.

    Args:
        model: as of `load_checkpoint_weights`.
        checkpoint: as of `load_checkpoint_weights`.
        ema: as of `load_checkpoint_weights`.

    Raises:
        LoadError: the checkpoint cannot be read, or the model has no weights yet.
    """
    return starter.text(_planned(model, Checkpoint(checkpoint), rules_module.RuleSet(), ema), ema)


def _planned(model: keras.Model, source: Checkpoint, rule_set: rules_module.RuleSet, ema: bool | None) -> Report:
    """Returns the account of what is about to be done, from names and shapes alone."""
    chosen, weights = averages.choose(source.entries, ema), target.weights(model)
    plan = planning.make(
        chosen.entries,
        weights,
        rule_set,
        source_flow=source_graph.flow(source.prefix, chosen.entries),
        target_flow=target.flow(model),
    )
    averages.settle(plan, chosen)
    return Report.of_plan(plan, source.prefix, model.name, source.entries, weights)


def _prove(report: Report, source: Checkpoint, variables, model, expected, strict: bool) -> None:
    report.unequal = proof.unequal_weights(report.assignments, source.read, variables)
    report.proven = len(report.assignments) - len(report.unequal)
    if report.unequal and strict:
        raise LoadError(f"{len(report.unequal)} weights do not hold the values assigned to them: {report.unequal[0]}")
    if expected is None:
        return
    report.answers = expected.compare(model)
    wrong = [answer for answer in report.answers if not answer.equal]
    if wrong and strict:
        lines = "".join(f"\n  Output {answer}." for answer in wrong)
        raise LoadError(
            f"Model {report.model!r} does not give the answers in {expected.source!r}: "
            f"{len(wrong)} of {len(report.answers)} outputs differ; the model is unchanged.{lines}\n"
            "  Every weight held what its rule says: look for a wrong rule (a square kernel transposed, swapped gates),"
            " a forget_bias, an epsilon, an activation."
        )
