"""`python -m load_v2.spark`, and the file that spark-submit takes: see load_v2/spark/command.py."""

import argparse
import sys


def main() -> int:
    """Runs the command; returns its exit code, 1 after an error the user can put right."""
    from load_v2.errors import LoadError
    from load_v2.spark import command

    args = command.parser().parse_args(sys.argv[1:], argparse.Namespace(verbosity=0))
    try:
        return command.run(sys.argv[1:])
    except LoadError as error:
        if args.verbosity > 0:
            raise
        print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
