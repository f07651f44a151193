"""`predict` over large files: rows a second against a bare loop over the signature, and memory against input size.

    python -m tests.benchmarks.predicting [--gib=1,4,10] [--repetitions=3]

The model is one product with a [4096, 8] matrix, so that reading decides. Inputs are sparse files of zeros, which
take no room on the disk; the bare loop has its batch in memory already.
"""

import argparse
import os
import tempfile

import numpy as np

from tests.benchmarks import measure
from tests.benchmarks.measure import PYTHON

WIDTH, BATCH = 4096, 256
MODELS = os.path.join(os.path.dirname(__file__), "models.py")
LOOP = """
import sys, numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
call, x = loaded.signatures["serving_default"], tf.zeros([int(sys.argv[3]), 4096])
for _ in range(int(sys.argv[2]) // int(sys.argv[3])): call(x=x)["y"].numpy()
"""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", default="1,4,10")
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        export, given, got = (os.path.join(folder, name) for name in ("export", "in.npy", "out.npy"))
        measure.process(PYTHON, MODELS, "linear", folder)
        ends = ("--input=x=x:0", "--output=y=y:0", f"--export_dir={export}")
        measure.process(PYTHON, "-m", "export_v1", f"--checkpoint={os.path.join(folder, 'model.ckpt')}", *ends)
        for gib in map(int, args.gib.split(",")):
            count = gib * 2**30 // (4 * WIDTH)
            np.lib.format.open_memmap(given, mode="w+", dtype=np.float32, shape=(count, WIDTH)).flush()
            with open(given, "rb", buffering=0) as file:
                # Into the page cache, where there is room for it: this is not about disks.
                while file.read(2**24):
                    pass
            predict = (PYTHON, "-m", "load_v2", "predict", export, f"--inputs={given}", f"--outputs={got}")
            found = measure.alternating(
                {
                    "predict": lambda command=predict: measure.process(*command),
                    "a loop without a file": lambda n=count: measure.process(
                        PYTHON, "-c", LOOP, export, str(n), str(BATCH)
                    ),
                },
                args.repetitions,
            )
            loop = found["a loop without a file"]
            for name, runs in found.items():
                ratios = [
                    f"{measure.ratio([getattr(run, unit) for run in runs], [getattr(run, unit) for run in loop]):.2f}"
                    for unit in ("wall", "processor")
                ]
                took = [measure.shown([getattr(run, unit) for run in runs]) for unit in ("wall", "processor")]
                peak = f"{max(run.peak for run in runs):.0f} MiB"
                rows.append((f"{gib} GiB", name, *took, peak, ", ".join(ratios)))
    head = (
        "input",
        "what",
        "process from start to end",
        "processor time",
        "peak memory",
        "to the loop: time, processor",
    )
    print(measure.table(head, rows))
    print(f"Load of the machine meanwhile: {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
