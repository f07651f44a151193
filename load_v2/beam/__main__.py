"""`python -m load_v2.beam`: see load_v2/beam/command.py, which workers can import."""

import os
import sys


def main() -> int:
    """Runs the command; returns its exit code, 1 after an error the user can put right."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from load_v2.beam import command
    from load_v2.errors import LoadError

    try:
        return command.run(sys.argv[1:])
    except LoadError as error:
        print(error, file=sys.stderr)
    except Exception as error:
        # Beam wraps what workers raise in errors of its own, whose text ends in the worker's.
        reason = str(error).rpartition("load_v2.errors.LoadError: ")[2]
        if reason == str(error):
            raise
        print(reason.partition(" [while running")[0].rstrip(), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
