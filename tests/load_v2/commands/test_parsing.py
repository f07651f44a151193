"""parsing: what is wrong with a flag is said when the command line is read, before anything is loaded."""

import pytest

from load_v2.beam import command as beam
from load_v2.commands import predict
from load_v2.commands.parsing import Parser
from load_v2.spark import command as spark


def _predict() -> Parser:
    made = Parser("python -m load_v2 predict", predict.DESCRIPTION)
    predict.add_flags(made)
    made.finish()
    return made


@pytest.mark.parametrize(
    ("parser", "flags"),
    [
        (_predict, ["--inputs=in.npz", "--outputs=out.npz"]),
        (beam.parser, ["--input=a.tfrecord", "--output=b.tfrecord"]),
        (spark.parser, ["--input=a.parquet", "--output=b"]),
    ],
    ids=["predict", "beam", "spark"],
)
def test_a_batch_has_at_least_one_row(parser, flags, capsys):
    assert parser().parse_args(["export", *flags, "--batch_size=1"]).batch_size == 1
    assert parser().parse_args(["export", *flags]).batch_size is None
    for size in ("0", "-1", "2.5", "many"):
        with pytest.raises(SystemExit, match="1"):
            parser().parse_args(["export", *flags, f"--batch_size={size}"])
        assert (
            f"--batch_size='{size}' is not a positive number; for example --batch_size=256" in capsys.readouterr().err
        )
