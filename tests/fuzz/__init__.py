"""Damaged and hostile files, thousands of them from one seed: `python -m tests.fuzz --minutes=N`.

Each mutation runs in a process of its own, forked from one that has TensorFlow imported, with a limit on time and
memory: what ends it, how long it took and how much memory it needed are seen from outside. Good ends are an error that
a user can read, or a result that is complete; see `running.Outcome`.
"""
