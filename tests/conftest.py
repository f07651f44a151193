"""What tests share: exports of the golden cases, made once per session."""

import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # With a worker for each core, TensorFlow's own threads would wait for each other.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import hypothesis
import pytest

from tests.support import cases, forks

# In CI the same examples each time: a finding there would stop a change that has nothing to do with it. By hand, new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def _quiet_tensorflow():
    # What simple_save says about its own deprecation on each call.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@pytest.fixture(autouse=True)
def _control_flow():
    """What a test builds the control flow of TensorFlow 1 with is no other test's business."""
    before = sys.modules.get("tensorflow")
    # TensorFlow 2's is on when it is imported.
    was_v2 = before is None or before.compat.v1.control_flow_v2_enabled()
    yield
    after = sys.modules.get("tensorflow")
    if after is not None:
        (after.compat.v1.enable_control_flow_v2 if was_v2 else after.compat.v1.disable_control_flow_v2)()


@pytest.fixture(scope="session", autouse=True)
def _checked_passes():
    """Whatever a test exports, each pass has to keep what it guarantees."""
    from export_v1.passes import sequence

    with sequence.checked():
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Callable[..., pathlib.Path]:
    """Returns a function (case name, flags of export_v1.export) -> export folder; the same export is made once.

    The folder is shared by all tests: whoever changes it works on a copy.
    """
    done: dict[str, pathlib.Path] = {}

    def export(name: str, **flags) -> pathlib.Path:
        import export_v1

        wanted = {**cases.load(name).flags(), **flags}
        key = repr((name, sorted(wanted.items(), key=str)))
        if key not in done:
            folder = tmp_path_factory.mktemp(name) / "1"
            export_v1.export(export_dir=str(folder), **wanted)
            done[key] = folder
        return done[key]

    return export


@pytest.fixture(scope="session")
def subprocess_env() -> dict[str, str]:
    """Returns an environment in which a child process finds the packages as this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="session")
def run_program(subprocess_env) -> Callable[..., subprocess.CompletedProcess]:
    """Returns a function (arguments of python, env=, cwd=) that does as subprocess.run does, without a wait for imports.

    For programs that need TensorFlow or Keras; what a program imports at all is for a process of its own to tell.
    """
    with forks.Forks(subprocess_env) as programs:
        yield programs.run
