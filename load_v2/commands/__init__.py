"""The commands of `python -m load_v2`, one module each: `add_flags(parser)` and `run(args) -> exit code`."""
