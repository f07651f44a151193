"""What a user can put right, and the one builder of such messages, for both steps."""

import difflib
import os
import pathlib
from collections.abc import Iterable

SHOWN = 10


class UserError(ValueError):
    """Something the user can put right; the message is complete in itself and is printed without a traceback."""


class ExportError(UserError):
    """Step 1 cannot do what was asked."""


def quoted(names: Iterable[str], limit: int = SHOWN) -> str:
    """Returns the names sorted, quoted and joined, at most `limit` of them.

    >>> quoted(["b", "a"])
    "'a', 'b'"
    >>> quoted(["b", "a", "c"], limit=2)
    "'a', 'b', …"
    """
    ordered = sorted(names)
    return ", ".join(repr(name) for name in ordered[:limit]) + (", …" if len(ordered) > limit else "")


def closest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Returns up to `limit` known names that resemble `name`, best first, looking at the last path part too.

    >>> closest("logit:0", ["logits:0", "loss:0", "x:0"])
    ['logits:0', 'loss:0']
    """
    known = sorted(set(known))
    matches = difflib.get_close_matches(name, known, limit, 0.5)
    leaf = name.rsplit("/", 1)[-1].lower()
    by_leaf = [candidate for candidate in known if candidate.rsplit("/", 1)[-1].lower() == leaf]
    return list(dict.fromkeys(matches + by_leaf))[:limit]


def no_path(what: str, path: str, remedy: str = "", error: type[UserError] = ExportError) -> UserError:
    """Returns the error for a path that is not there: nearest paths, or what the last folder on the way holds; what to do.

    Args:
        what: should be there, such as "folder".
        path: of it.
        remedy: what to do.
        error: class of the error.
    """
    folder, missing = pathlib.Path(path), list[str]()
    while missing == [] or not folder.is_dir():
        missing.insert(0, folder.name)
        folder = folder.parent
    names = os.listdir(folder)
    near = [folder / name for name in closest(missing[0], names)]
    near = [whole for other in near if (whole := other.joinpath(*missing[1:])).exists()] or near
    lines = [f"There is no {what} {path!r}."]
    if near:
        lines.append(f"  Closest: {quoted(map(str, near))}.")
    else:
        lines.append(f"  Folder {str(folder)!r} holds: {quoted(names) or 'nothing'}.")
    if remedy:
        lines.append(f"  {remedy}")
    return error("\n".join(lines))


def unknown(
    what: str,
    name: str,
    place: str,
    known: Iterable[str],
    remedy: str = "",
    error: type[UserError] = ExportError,
) -> UserError:
    """Returns the error for a name that is not there: nearest names, what exists, what to do.

    >>> print(unknown("Output", "logit:0", "graph model.ckpt.meta", ["logits:0", "loss:0"], "Pass --output=y=logits:0."))
    Output 'logit:0' is not in graph model.ckpt.meta.
      Closest: 'logits:0', 'loss:0'.
      Known (2): 'logits:0', 'loss:0'.
      Pass --output=y=logits:0.
    """
    known = sorted(set(known))
    near = closest(name, known)
    lines = [f"{what} {name!r} is not in {place}."]
    if near:
        lines.append(f"  Closest: {', '.join(map(repr, near))}.")
    lines.append(f"  Known ({len(known)}): {quoted(known)}." if known else "  There are none.")
    if remedy:
        lines.append(f"  {remedy}")
    return error("\n".join(lines))


def reason(error: BaseException) -> str:
    """Returns what an error says in one line: without stack traces, with the node where TensorFlow names one.

    >>> reason(ValueError("Shapes differ\\n\\t [[{{node add}} = Add[...]]]"))
    'Shapes differ [[{{node add}}]]'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # The fact stands before the line that names the node; what comes before both is about Python stacks.
    node = next((at for at, line in enumerate(lines) if line.startswith("[[{{node")), 0)
    if node:
        return f"{lines[node - 1]} {lines[node].partition('}}')[0]}}}}}]]"[:300]
    return lines[0][:300] if lines else type(error).__name__
