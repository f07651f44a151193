"""Control flow of TensorFlow 1 (Enter, Switch, Merge, TensorArrayV3, …) made functional (While, If, TensorList).

`convert` is the pass. The other modules are its parts, one construct each.
"""

from export_v1.passes.functional.convert import convert

__all__ = ["convert"]
