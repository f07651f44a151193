"""Tables: aligned as text, escaped as HTML."""

from export_v1.console import tables

_TABLE = tables.Table(
    "<Two>", [("input", "x", "float32"), ("output", "<b>", "int64"), ("note", "a & b, which is long")]
)


def test_columns_are_aligned_and_a_last_cell_pushes_nothing():
    assert _TABLE.text().splitlines() == [
        "<Two>", "  input   x    float32", "  output  <b>  int64", "  note    a & b, which is long",
    ]  # fmt: skip
    assert tables.Table("Empty", []).text() == "Empty"


def test_html_shows_the_same_and_no_name_is_markup():
    page = _TABLE.html()
    assert "&lt;Two&gt;" in page and "&lt;b&gt;" in page and "a &amp; b" in page and page.count("<tr>") == 3
    assert 'colspan="2">a' in page
