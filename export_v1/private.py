"""What rests on names that TensorFlow does not promise to keep. Tried with TensorFlow 2.16 and 2.21.

There is no public way to ask these questions.
"""

from tensorflow.python.framework import kernels, op_def_registry


def op_def(op: str):
    """Returns the OpDef registered under `op`, or None; ops that tf.load_op_library brought are seen, too."""
    return op_def_registry.get(op)


def kernels_of(op: str) -> list:
    """Returns the KernelDefs registered for an op: device type and type constraints of each."""
    return list(kernels.get_registered_kernels_for_op(op).kernel)
