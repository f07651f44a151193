"""What TensorFlow raises on a file is one message, whatever class it has."""

import pytest
from tensorflow.python.ops import op_selector

from load_v2 import LoadError, errors


def test_an_error_of_a_class_of_tensorflows_own_is_blamed_on_the_file():
    with pytest.raises(LoadError, match="(?s)'x' cannot be loaded: UnliftableError: .*Export again"):
        with errors.blamed("'x' cannot be loaded"):
            raise op_selector.UnliftableError("Unable to lift tensor")


def test_an_error_of_ours_is_a_defect():
    class OursError(Exception):
        pass

    with pytest.raises(OursError), errors.blamed("'x' cannot be loaded"):
        raise OursError
