"""Loads a TF1 checkpoint's variables into a Keras model built by your code, and writes a Keras weights file.

python -m load_v2 port --checkpoint=model.ckpt-3 --model=my_code.py:build --weights=out.weights.h5
python -m load_v2 port --checkpoint=bert/ --model=my_code:bert --rules=bert.toml --weights=out.weights.h5
"""

import argparse
import contextlib
import importlib
import importlib.util
import os
import sys
import traceback

from export_v1.console import colour, progress
from load_v2.commands.parsing import Parser
from load_v2.errors import LoadError, unknown

_TAIL = ".weights.h5"

DESCRIPTION = """
Fills a Keras model of yours with the variables of a TensorFlow 1 checkpoint, and writes its weights.
"""
EXAMPLES = (
    "python -m load_v2 port --checkpoint=model.ckpt-3 --model=my_code.py:build --suggest=rules.toml",
    "python -m load_v2 port --checkpoint=model.ckpt-3 --model=my_code.py:build --rules=rules.toml --weights=out.weights.h5",
)


def add_flags(parser: Parser) -> None:
    """Declares this command's flags; nothing here needs tensorflow."""
    add = parser.add_argument
    add(
        "--checkpoint",
        group="What is read",
        required=True,
        metavar="PREFIX_OR_DIR",
        help="Saver prefix, its folder, or any of its files",
    )
    add(
        "--model",
        group="What is read",
        required=True,
        type=_named_function,
        metavar="MODULE_OR_FILE:FUNCTION",
        help="function without arguments that returns the built Keras model, such as my_code.py:build",
    )
    add(
        "--rules",
        group="How",
        metavar="RULES.toml",
        help="which variable becomes which weight; default: matched by itself",
    )
    add(
        "--weights",
        group="What is written",
        type=_weights_file,
        metavar=f"OUT{_TAIL}",
        help="weights file to write, for model.load_weights; an existing file is replaced, whole, at the end",
    )
    add(
        "--keras",
        group="What is written",
        type=_archive,
        metavar="MODEL.keras",
        help="archive to write, the model with its weights; an existing one is replaced, whole, at the end",
    )
    add(
        "--suggest",
        group="What is written",
        metavar="RULES.toml",
        help="rules file to begin with: every variable and weight once, matched or proposed; nothing else is written",
    )
    add(
        "--expect",
        group="Proof",
        metavar="IO.npz",
        help="arrays in/KEY and out/KEY: the model must answer these inputs with these outputs; default: no answers are compared",
    )
    add(
        "--ema",
        group="How",
        action="store_true",
        default=None,
        help="take ExponentialMovingAverage values where there are any",
    )


def run(args: argparse.Namespace) -> int:
    """Builds the model, loads and proves its weights, writes the file; returns 0.

    Raises:
        LoadError: something does not fit; no file was written.
    """
    # Late, so that --help and flag errors do not wait for tensorflow.
    from load_v2.porting.load import load_checkpoint_weights

    if args.suggest:
        return _suggest(args)
    if not (args.weights or args.keras):
        raise LoadError(
            f"There is nothing to write.\n  Pass --weights=out{_TAIL} or --keras=model.keras, or --suggest=rules.toml for "
            "rules to begin with."
        )
    progress.stage("building the model")
    model = _built(args.model)
    report = load_checkpoint_weights(model, args.checkpoint, args.rules, ema=args.ema, expect=args.expect)
    _save(model, args.weights, args.keras)
    print(colour.report(str(report), sys.stdout))
    for path in filter(None, (args.weights, args.keras)):
        print(f"{path}: written")
    return 0


def _suggest(args: argparse.Namespace) -> int:
    """Writes rules to begin with; returns 0."""
    from load_v2.porting.load import suggest_rules
    from load_v2.scoring import atomic

    others = [flag for flag in ("rules", "weights", "keras", "expect") if getattr(args, flag)]
    if others:
        raise LoadError(f"--suggest loads nothing, so --{others[0]} has no meaning beside it.\n  Remove one of them.")
    if os.path.lexists(args.suggest):
        raise LoadError(f"{args.suggest!r} already exists, perhaps with your changes.\n  Name another file.")
    content = suggest_rules(_built(args.model), args.checkpoint, ema=args.ema)
    with atomic.file(args.suggest) as stream:
        stream.write(content.encode())
    print("\n".join(line.removeprefix("# ") for line in content.splitlines()[:2]))
    print(f"{args.suggest}: written; look at it, then pass --rules={args.suggest} --weights=out{_TAIL}")
    return 0


def _named_function(text: str) -> tuple[str, str]:
    place, _, function = text.rpartition(":")
    if not place or not function.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not MODULE_OR_FILE:FUNCTION, such as my_code.py:build")
    return place, function


def _weights_file(text: str) -> str:
    if not text.endswith(_TAIL):
        raise argparse.ArgumentTypeError(
            f"{text!r} does not end with {_TAIL}, as Keras demands: {text.split('.')[0]}{_TAIL}"
        )
    return text


def _archive(text: str) -> str:
    if not text.endswith(".keras"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .keras: {text.split('.')[0]}.keras")
    return text


def _built(named: tuple[str, str]):
    """Returns the model that the user's function builds.

    Raises:
        LoadError: no such file, module or function, or the code in it fails.
    """
    place, name = named
    code = _imported(place)
    if not callable(getattr(code, name, None)):
        functions = [key for key, value in vars(code).items() if callable(value) and not key.startswith("_")]
        raise unknown("Function", name, place, functions, f"Pass --model={place}:FUNCTION.")
    try:
        return getattr(code, name)()
    except Exception as error:
        raise LoadError(f"{place}:{name} fails{_where(error)}: {type(error).__name__}: {error}") from error


def _imported(place: str):
    is_file = place.endswith(".py")
    if is_file and not os.path.isfile(place):
        raise LoadError(
            f"There is no file {place!r}.\n  Pass --model=MODULE_OR_FILE:FUNCTION, such as my_code.py:build."
        )
    folder = os.path.dirname(os.path.abspath(place)) if is_file else os.getcwd()
    # Its neighbours are imported by their bare names, as when it is run by itself.
    sys.path.insert(0, folder)
    try:
        if not is_file:
            return importlib.import_module(place)
        name = os.path.splitext(os.path.basename(place))[0]
        spec = importlib.util.spec_from_file_location(name, place)
        assert spec is not None and spec.loader is not None, "a name that ends in .py has a loader"
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(name, module)
        spec.loader.exec_module(module)
        return module
    except Exception as error:
        raise LoadError(f"{place!r} cannot be imported{_where(error)}: {type(error).__name__}: {error}") from error
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _save(model, weights: str | None, archive: str | None) -> None:
    """Writes what is asked for under other names and moves it into place: it is there whole, or not at all."""
    from load_v2.scoring import atomic

    size = atomic.room(model)
    with contextlib.ExitStack() as files:
        if weights:
            model.save_weights(files.enter_context(atomic.published(weights, _TAIL, size)))
        if archive:
            model.save(files.enter_context(atomic.published(archive, ".keras", size)))
