"""What the tests of trainings that go on share: their exports."""

import pytest

import export_v1
from tests.support.trainings import Training


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Returns a function: case, other flags of `export_v1.export` -> the folder of its export, made once."""
    made = {}

    def export(name: str, **others) -> str:
        key = repr((name, others))
        if key not in made:
            made[key] = str(tmp_path_factory.mktemp(name) / "1")
            export_v1.export(export_dir=made[key], **Training(name).flags(**others))
        return made[key]

    return export
