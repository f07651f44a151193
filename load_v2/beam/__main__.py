"""`python -m load_v2.beam`: see load_v2/beam/command.py, which workers can import."""

import argparse
import sys


def main() -> int:
    """Runs the command; returns its exit code, 1 after an error the user can put right."""
    from export_v1.console import running
    from load_v2.beam import command, explain

    # A wrong flag is a message before anything slow.
    args, _ = command.parser().parse_known_args(sys.argv[1:], argparse.Namespace(verbosity=0))
    verbose = args.verbosity > 0
    try:
        if not verbose:
            explain.quiet()
        command.imported()
        running.import_tensorflow(verbose)
        return command.run(sys.argv[1:])
    except Exception as error:
        message = explain.reason(error)
        if message is None or verbose:
            raise
        print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
