"""The page in a real browser: it opens, its parts open, it fits a phone, it prints, and nothing is wrong in its console."""

import struct
import zlib

import pytest

from load_v2.commands import report
from tests.support import browser

pytestmark = pytest.mark.skipif(browser.path() is None, reason=browser.MISSING)


@pytest.fixture(scope="module")
def address(exported, tmp_path_factory) -> str:
    """Returns the address of a page about an export with conditions, scopes and a `train` signature."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    export = exported("convnet_bn_finetune")
    report.write(str(export), str(file))
    return file.as_uri()


@pytest.fixture(scope="module")
def page():
    with browser.page() as opened:
        yield opened


def _colours(png: bytes) -> set[bytes]:
    """Returns the colours of a PNG's rows that need no other row, which is enough to tell a picture from nothing."""
    assert png.startswith(b"\x89PNG")
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    step = {2: 3, 6: 4}[kind] * depth // 8
    at, packed = 8, b""
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += 12 + length
    rows, size = zlib.decompress(packed), width * step + 1
    plain, found = bytearray(width * step), set()
    for row in range(height):
        how, line = rows[row * size], rows[row * size + 1 : (row + 1) * size]
        plain = _unfiltered(how, line, plain, step)
        if row % 7 == 0:
            found |= {bytes(plain[x : x + 3]) for x in range(0, len(plain), step * 3)}
    return found


def _unfiltered(how: int, line: bytes, above: bytearray, step: int) -> bytearray:
    made = bytearray(line)
    if how == 0:
        return made
    for x in range(len(made)):
        left = made[x - step] if x >= step else 0
        up, corner = above[x], above[x - step] if x >= step else 0
        if how == 3:
            guess = (left + up) // 2
        elif how == 4:
            distance = [abs(left + up - corner - side) for side in (left, up, corner)]
            guess = (left, up, corner)[distance.index(min(distance))]
        else:
            guess = left if how == 1 else up
        made[x] = (made[x] + guess) & 255
    return made


def test_it_opens_without_an_error_and_shows_something(page, address):
    page.open(address, 700, 600)
    assert page.console == []
    light = _colours(page.screenshot(whole=False))
    page.look(dark=True)
    dark = _colours(page.screenshot(whole=False))
    assert len(light) > 10 and len(dark) > 10
    assert b"\xff\xff\xff" in light and b"\x0f\x13\x18" in dark and b"\x0f\x13\x18" not in light


def test_scopes_of_the_training_graph_open(page, address):
    page.open(address)
    before = page.run("document.querySelectorAll('#tree .count').length")
    page.run("document.querySelector('#tree summary').click()")
    page.run("new Promise(done => setTimeout(done, 100))")
    assert page.run("document.querySelectorAll('#tree .count').length") > before > 3
    page.run("document.querySelector('[data-tree=open]').click()")
    assert page.run("document.querySelectorAll('#tree details:not([open])').length") >= 0
    counts = page.run(
        "[...document.querySelectorAll('#tree > details > summary .count, #tree > .leaf .count')].map(c => c.textContent)"
    )
    total = sum(int(text.split()[-2].replace(",", "")) for text in counts)
    assert f"{total:,} nodes were in the graph" in page.run("document.body.textContent")
    assert page.console == []


def test_the_picture_opens_step_by_step_by_mouse_and_keyboard(page, address):
    page.open(address)
    closed = page.run("document.querySelectorAll('#picture g').length")
    page.run("document.querySelector('#picture .hit[aria-expanded=false]').dispatchEvent(new MouseEvent('click'))")
    opened = page.run("document.querySelectorAll('#picture g').length")
    assert opened > closed > 2
    page.run("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}))")
    assert page.run("document.querySelectorAll('#picture g').length") == closed
    for _ in range(8):
        page.run("document.querySelector('[data-picture=open]').click()")
    assert page.run("document.querySelectorAll('#picture .hit[aria-expanded=false]').length") == 0
    names = page.run("[...document.querySelectorAll('#picture title')].map(t => t.textContent)")
    assert any(name.endswith(": Conv2D") for name in names) and any("input images" in name for name in names)
    assert "NaN" not in page.run("document.querySelector('#picture').innerHTML")
    page.run(
        "document.querySelector('#which').selectedIndex = 1; document.querySelector('#which').dispatchEvent(new Event('change'))"
    )
    assert page.run("document.querySelectorAll('#picture g').length") > 2
    assert page.console == []


def test_it_fits_a_phone(page, address):
    page.open(address, 400, 800)
    assert page.run("document.documentElement.scrollWidth") <= 400
    page.run("for (const d of document.querySelectorAll('details')) d.open = true")
    page.run("document.querySelector('[data-tree=open]').click()")
    assert page.run("document.documentElement.scrollWidth") <= 400


def test_weights_are_filtered_by_name(page, address):
    page.open(address)
    page.run(
        "const f = document.getElementById('filter'); f.value = 'MOVING_mean'; f.dispatchEvent(new Event('input'))"
    )
    shown = page.run(
        "[...document.querySelectorAll('#rows tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].textContent)"
    )
    assert shown and all("moving_mean" in name for name in shown)


def test_it_prints(page, address):
    page.open(address)
    printed = page.pdf()
    assert printed.startswith(b"%PDF") and len(printed) > 10_000
    page.look(media="print")
    assert page.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.console == []
