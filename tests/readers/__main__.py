"""Every reader of SavedModels on exports of the golden cases and of one real model; prints the README's table.

    python -m tests.readers --musicnn=FOLDER            all cells; takes a quarter of an hour
    python -m tests.readers --case=mlp_layers --reader="C API"

musicnn is a model that others trained with TensorFlow 1 and published on PyPI; its checkpoint is in the wheel:

    pip download --no-deps --dest=/tmp/musicnn musicnn==0.1.0
    python -m zipfile -e /tmp/musicnn/musicnn-0.1.0-*.whl /tmp/musicnn       # FOLDER: /tmp/musicnn/musicnn/MTT_musicnn

Needs the extra `bench`. Each cell runs in a process of its own, and every red one has its reason below the table.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata

from tests.readers import cell, readers
from tests.support import cases

CASES = ["mlp_layers", "convnet_bn_dropout", "lstm_dynamic_rnn", "lookup_vocab", "bert_tiny", "multi_io_int", "musicnn"]
_PACKAGES = ["tensorflow", "tf2onnx", "onnxruntime", "openvino"]
_SECONDS = 900


def _export_flags(case: str, musicnn: str) -> list[str]:
    if case == "musicnn":
        interface = ["--input=x=model/Placeholder:0", "--output=tags=model/Sigmoid:0"]
        return [f"--checkpoint={musicnn}", *interface, "--freeze=model/Placeholder_2:0=false"]
    known = cases.load(case)
    flags = [f"--checkpoint={known.folder / known.config['checkpoint']}"]
    for flag, name in (("input", "inputs"), ("output", "outputs"), ("freeze", "freeze")):
        flags += [f"--{flag}={key}={json.dumps(value).strip(chr(34))}" for key, value in known.config[name].items()]
    return flags


def _exported(case: str, musicnn: str, folder: str) -> str:
    export_dir = os.path.join(folder, case, "1")
    command = [sys.executable, "-m", "export_v1", f"--export_dir={export_dir}", *_export_flags(case, musicnn)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{case} cannot be exported:\n{done.stderr}")
    return export_dir


def _cell(reader: str, export_dir: str) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.readers.cell", reader, export_dir]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return {"reason": f"not finished after {_SECONDS} s"}
    results = [line for line in done.stdout.splitlines() if line.startswith(cell.RESULT)]
    if not results:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"reason": f"the process ended with {done.returncode}: {lines[-1] if lines else 'no word'}"[:600]}
    return json.loads(results[-1].removeprefix(cell.RESULT))


def table(results: dict[str, dict[str, dict]], columns: list[str]) -> str:
    """Returns the matrix as Markdown; each reason is written once, below."""
    reasons: dict[str, int] = {}

    def shown(result: dict) -> str:
        if "reason" in result:
            return f"**red** ({reasons.setdefault(result['reason'], len(reasons) + 1)})"
        return "yes" if result["worst"] is None else "identical" if result["worst"] == 0 else f"{result['worst']:.0e}"

    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {case} | " + " | ".join(shown(row[name]) for name in columns) + " |" for case, row in results.items()]
    return "\n".join([*lines, "", *[f"{number}. {reason}" for reason, number in reasons.items()]])


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def main() -> int:
    """Runs the cells asked for and prints the table; returns 0 when all ran, whatever their colour."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.readers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--musicnn", default=os.environ.get("MUSICNN", ""), help="its checkpoint folder; or $MUSICNN")
    parser.add_argument("--case", action="append", choices=CASES, help="repeatable; default: all")
    parser.add_argument("--reader", action="append", choices=list(readers.READERS), help="repeatable; default: all")
    args = parser.parse_args()
    wanted, columns = args.case or CASES, args.reader or list(readers.READERS)
    if "musicnn" in wanted and not os.path.isdir(args.musicnn):
        parser.error("musicnn's checkpoint is not there: pass --musicnn=FOLDER (--help says where it is from)")
    results: dict[str, dict[str, dict]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in wanted:
            export_dir = _exported(case, os.path.join(args.musicnn, ""), folder)
            for reader in columns:
                results.setdefault(case, {})[reader] = _cell(reader, export_dir)
                print(f"{case}, {reader}: {results[case][reader]}", file=sys.stderr, flush=True)
    print(f"{_versions()}\n\n{table(results, columns)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
