"""Runs the benchmarks, each in a process of its own, and prints their tables.

    python -m tests.benchmarks                       all of them
    python -m tests.benchmarks step_1 serving        some
    python -m tests.benchmarks step_1 -- --layers=16 --repetitions=5     one, with flags of its own

Everything is made on the spot: no network, no files from elsewhere. In every comparison the sides take turns in one
run; tables have medians with ranges. Large files go to $BENCHMARK_DIR, or where temporary files go: step_1 needs 30 GB
there with its largest checkpoint.
"""

import subprocess
import sys

from tests.benchmarks import measure

ALL = {
    "step_1": "step 1 against the naive recipe and cp, by checkpoint size; growth of time and memory",
    "large_graphs": "step 1 and --list on graphs of 1,000 to 100,000 nodes, beside import_meta_graph",
    "start_up": "what a small model costs beyond importing TensorFlow",
    "loading": "load time and memory in step 2",
    "serving": "time to an answer, against the original and other runtimes",
    "predicting": "predict over large files: speed, and memory that does not grow",
    "engines": "predict, Beam, Spark and Ray, as far as installed, by workers; a cheap and an expensive model",
    "layer_overhead": "a call of SignatureLayer against the raw signature",
    "replacements": "replacements of ops against the kernels of TensorFlow 1.15 (with --tf1)",
    "training": "a step of a resumed training, beside Keras's own and TensorFlow 1.15's train op (with --tf1)",
    "rebuilding": "a rebuilt model beside SignatureLayer; under JAX's jit and in onnxruntime (with --python)",
    "lstm_control_flow": "functional control flow against the v1 loop it was made from",
}


def main(argv: list[str]) -> int:
    """Returns 0 if all benchmarks ran."""
    names, flags = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    unknown = sorted(set(names) - set(ALL))
    if unknown or flags and len(names) != 1:
        print(__doc__)
        print(*(f"  {name:20}{what}" for name, what in ALL.items()), sep="\n")
        return 0 if unknown == ["--help"] else 1
    failed = 0
    for name in names or ALL:
        print(f"\n### {name}: {ALL[name]}\n", flush=True)
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", *flags]
        failed += subprocess.run(command, cwd=measure.ROOT, env=measure.environment()).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
