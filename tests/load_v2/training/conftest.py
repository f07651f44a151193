"""What the tests of trainings that go on share: their exports."""

import pytest

import export_v1
from tests.support.trainings import Training


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Returns a function: case -> the folder of its export, made once."""
    made = {}

    def export(name: str) -> str:
        if name not in made:
            made[name] = str(tmp_path_factory.mktemp(name) / "1")
            export_v1.export(export_dir=made[name], **Training(name).flags())
        return made[name]

    return export
