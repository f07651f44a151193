"""A few aligned lines, for a terminal and for a notebook: how layers, reports and candidates show themselves."""

import dataclasses
import html
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells under a title.

    Attributes:
        title: the first line.
        rows: cells; rows may differ in length.
    """

    title: str
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Returns the title and the rows, indented, with columns aligned.

        >>> print(Table("Two", [("input", "x", "float32"), ("output", "logits", "int64")]).text())
        Two
          input   x       float32
          output  logits  int64
        """
        columns = max(map(len, self.rows), default=0)
        # The last cell of a row needs no width: a long reason does not push others away.
        widths = [max((len(row[at]) for row in self.rows if len(row) > at + 1), default=0) for at in range(columns)]
        lines = [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
            for row in self.rows
        ]
        return "\n".join([self.title, *lines])

    def html(self) -> str:
        """Returns the same as an HTML table in the colours of whatever page it stands on."""
        style = "text-align:left;vertical-align:top;padding:.1em 1em .1em 0"
        columns = max(map(len, self.rows), default=0)
        cell = '<td style="{}"{}>{}</td>'
        body = "".join(
            "<tr>"
            + "".join(
                # The last cell of a row is the one that may be long.
                cell.format(
                    style + ";white-space:nowrap" * (at < len(row) - 1),
                    _span(at, row, columns),
                    _cell(text, at == 0 < len(row) - 1),
                )
                for at, text in enumerate(row)
            )
            + "</tr>"
            for row in self.rows
        )
        return f"<div><b>{html.escape(self.title)}</b><table>{body}</table></div>"


def _span(at: int, row: Sequence[str], columns: int) -> str:
    return f' colspan="{columns - at}"' if at == len(row) - 1 < columns - 1 else ""


def _cell(cell: str, is_heading: bool) -> str:
    return f"<b>{html.escape(cell)}</b>" if is_heading else html.escape(cell)
