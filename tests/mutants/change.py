"""A change to the code that the tests have to notice."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Change:
    """One change on purpose.

    Attributes:
        file: path of the changed file, relative to the top of the repository.
        before: text that occurs exactly once in it.
        after: what stands there instead.
        tests: test files, or `file::test` of them, at least one of which fails then.
        why: what the change means, where it does not speak for itself.
    """

    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    why: str = ""
