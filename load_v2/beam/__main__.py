"""`python -m load_v2.beam`: see load_v2/beam/command.py, which workers can import."""

import os
import sys


def main() -> int:
    """Runs the command; returns its exit code, 1 after an error the user can put right."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from load_v2.__main__ import _silent_stderr
    from load_v2.beam import command, explain

    try:
        command.parser().parse_known_args(sys.argv[1:])  # a wrong flag is said before anything slow
        explain.quiet()
        command.imported()
        with _silent_stderr():
            import tensorflow  # noqa: F401
        return command.run(sys.argv[1:])
    except Exception as error:
        said = explain.reason(error)
        if said is None:
            raise
        print(said, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
