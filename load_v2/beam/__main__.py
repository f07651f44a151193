"""`python -m load_v2.beam`: see load_v2/beam/command.py, which workers can import."""

import sys


def main() -> int:
    """Runs the command; returns its exit code, 1 after an error the user can put right."""
    from export_v1.console import running
    from load_v2.beam import command, explain

    try:
        command.parser().parse_known_args(sys.argv[1:])  # a wrong flag is message before anything slow
        explain.quiet()
        command.imported()
        running.import_tensorflow(verbose=False)
        return command.run(sys.argv[1:])
    except Exception as error:
        message = explain.reason(error)
        if message is None:
            raise
        print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
