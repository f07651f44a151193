"""What a failed job says to whoever started it: one message, where Beam has tracebacks of its workers."""

import logging
import re

from load_v2.errors import LoadError

_OURS = "load_v2.errors.LoadError: "
# What Beam says of packages that this command does not use.
_NOISE = ("apitools not found", "Resource module is not available")
_JOB_SERVER = re.compile(r"Unable to fetch remote job server jar at (\S+?):? ")


def reason(error: BaseException) -> str | None:
    """Returns what an error of a job means to its user, and None for one that nothing is known about.

    Beam wraps what workers raise in errors of its own, whose text ends in the worker's and in the name of a step.
    """
    text = str(error)
    if isinstance(error, LoadError) or _OURS in text:
        return text.rpartition(_OURS)[2].partition(" [while running")[0].rstrip()
    if "Not a valid TFRecord" in text:
        return "A file that --input names is not a TFRecord, or is damaged.\n  Parquet files have to end in .parquet."
    if "Parquet magic bytes not found" in text or "Parquet file size is" in text:
        return "A file that --input names is not a Parquet file, or is damaged."
    if job_server := _JOB_SERVER.search(text):
        return (
            f"The runner's job server cannot be fetched from {job_server[1]}.\n"
            "  Fetch it where there is a network and pass --flink_job_server_jar=FILE or --spark_job_server_jar=FILE, or "
            "pass --job_endpoint=HOST:PORT of a job server that runs."
        )
    return None


def quiet() -> None:
    """Keeps from the log what the command says itself at its end, and what is of no use to its user."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    formatter = logging.Formatter()

    def worth_saying(record: logging.LogRecord) -> bool:
        text = formatter.format(record)
        return _OURS not in text and not any(noise in text for noise in _NOISE)

    for handler in logging.getLogger().handlers:
        handler.addFilter(worth_saying)
