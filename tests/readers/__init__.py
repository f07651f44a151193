"""What else reads SavedModels, each reading the exports of the golden cases: `python -m tests.readers`."""
