"""The matrix page in a real Chromium: what it shows, by which keys, how fast, and on paper."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migratable.fleet.cells import Answer
from migratable.report.matrix_html import render
from migratable.verdict import Severity
from tests.absent import absent, needs
from tests.unit.fleet import made

needs("playwright", "playwright drives the browser and is not installed")
api = importlib.import_module("playwright.sync_api")
CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
if CHROMIUM is None:
    absent("Chromium is not on this machine (package chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    small = made.matrix(
        [
            [made.refused(1, 2), made.loads(), made.unknown("why <not>?")],
            [made.loads(Severity.ENDANGERS), Answer.failed("no such file"), made.loads()],
            [made.refused(2), made.loads(Severity.LATENT), made.loads(Severity.WARNS)],
            [made.refused(1), made.loads(), made.refused(4)],
        ],
        names=["one", made.HOSTILE, "three", "four"],
    )
    documents = {
        "small": small.to_json(),
        "large": made.large(1000, 200, shapes=1000, kinds=200).to_json(),
        "folded": made.large(1000, 200, shapes=40, kinds=8).to_json(),
    }
    out = {}
    for name, document in documents.items():
        out[name] = folder / f"{name}.html"
        out[name].write_text(render(document), "utf-8")
    return out


class Page:
    """A page that is open, with everything that it complained about and asked for."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        size = options.pop("viewport", {"width": 1400, "height": 850})
        fragment = options.pop("fragment", "")
        self.context = browser.new_context(viewport=size, offline=True, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready=yes]", timeout=20_000)

    def keys(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    @property
    def here(self) -> str:
        return str(self.page.text_content("#here"))

    @property
    def status(self) -> str:
        return str(self.page.text_content("#status"))

    def settled(self) -> dict[str, str]:
        """Wait for the next frame; what the canvas says of itself."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        found: dict[str, str] = self.page.evaluate(
            "() => ({...document.getElementById('canvas').dataset})"
        )
        return found

    def pixels(self) -> set[tuple[int, int, int]]:
        """Colours that are on the map."""
        found = self.page.evaluate(
            """() => { const c = document.getElementById('canvas');
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            const out = new Set();
            for (let at = 0; at < d.length; at += 4) out.add(`${d[at]},${d[at+1]},${d[at+2]}`);
            return [...out]; }"""
        )
        return {(int(r), int(g), int(b)) for r, g, b in (one.split(",") for one in found)}


@pytest.fixture
def opened(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    there: list[Page] = []

    def make(name: str, **options: Any) -> Page:
        there.append(Page(browser, pages[name], **options))
        return there[-1]

    yield make
    for one in there:
        one.context.close()
        assert one.complaints == []
        assert [url for url in one.asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_keys_alone_reach_everything(opened: Any) -> None:
    page = opened("small")
    page.page.keyboard.press("Tab")
    page.page.focus("#grid")
    assert page.here == "one to host0: refused: cpu-identity"
    page.keys("ArrowRight")
    assert page.here == "one to host1: loads"
    page.keys("End")
    assert page.here == "one to host2: unknown: why <not>?"
    page.keys("n")
    assert page.here.startswith("three to host0: refused")
    page.keys("n", "n", "n")
    assert page.here.startswith("one to host0: refused")
    page.keys("p")
    assert page.here.startswith("four to host2: refused")
    page.keys("Control+Home", "Enter")
    cell = page.page.text_content("#cell")
    for words in (
        "one → host0",
        "error while loading state for instance 0x0 of device '0000:00:03.0/virtio-blk'",
        "warning: first",
        "cpu-identity",
        "virtio-features",
        "value 0x1",
        "-cpu v1",
        "tried (predicted)",
        "field1",
    ):
        assert words in cell, words
    assert page.page.evaluate("() => document.activeElement.id") == "cell"
    page.keys("Escape")
    assert page.page.evaluate("() => document.activeElement.id") == "grid"
    page.keys("c")
    assert page.page.get_attribute("#tab-causes", "aria-selected") == "true"
    page.keys("Escape", "/")
    assert page.page.evaluate("() => document.activeElement.id") == "find-vm"
    page.page.keyboard.type("three")
    page.page.wait_for_function(
        "() => document.getElementById('status').textContent.includes('1 of 4 VMs')"
    )
    page.keys("Escape")
    page.page.wait_for_function(
        "() => document.getElementById('status').textContent.includes('4 of 4 VMs')"
    )
    page.keys("Escape", "?")
    assert page.page.is_visible("#help")
    page.keys("Escape")
    assert not page.page.is_visible("#help")


def test_hostile_names_are_only_text(opened: Any) -> None:
    page = opened("small")
    page.page.focus("#grid")
    page.keys("ArrowDown", "Enter")
    assert page.page.title() == "made"
    assert "onerror" in page.page.text_content("#cell h2")
    assert page.page.query_selector("img") is None


def test_what_is_promised_for_a_fix_is_shown(opened: Any) -> None:
    page = opened("small")
    causes = page.page.query_selector_all("#causes .cause")
    promised = [one.query_selector(".gain b").text_content() for one in causes]
    assert promised == ["+1", "+1", "+1"]
    page.page.focus("#grid")
    for one in causes:
        one.query_selector(".fixed").check()
    assert "4 more would load" in page.page.text_content("#mended-note")
    page.page.focus("#grid")
    page.keys("Control+Home")
    assert page.here.startswith("one to host0: would load")
    causes[0].query_selector(".fixed").uncheck()
    assert "more would load" in page.page.text_content("#mended-note")


def test_causes_and_states_filter(opened: Any) -> None:
    page = opened("folded")
    document = page.page.evaluate("() => JSON.parse(document.getElementById('data').textContent)")
    total = page.status
    assert "1,000 in" in total
    page.page.click("#causes .cause .show")
    cause = page.page.text_content("#causes .cause")
    wanted = {
        vm
        for vm, pattern in enumerate(document["vms"]["pattern"])
        if any(0 in document["answers"][at]["c"] for at in document["patterns"][pattern])
    }
    assert f"{len(wanted):,} VMs" in cause
    assert page.status.split(" — ")[-1].startswith(f"{len(wanted):,} in")
    page.page.click("#causes .cause .show")
    assert page.status.split(" — ")[-1] == total
    page.page.click(".chip[data-state=unknown]")
    unknown = {
        vm
        for vm, pattern in enumerate(document["vms"]["pattern"])
        if any(document["answers"][at]["s"] == 2 for at in document["patterns"][pattern])
    }
    assert page.status.split(" — ")[-1].startswith(f"{len(unknown):,} in")


@pytest.mark.parametrize("order", ["name", "trouble", "cause", "group"])
def test_every_order_shows_every_vm(opened: Any, order: str) -> None:
    page = opened("large")
    page.page.select_option("#sort-vm", order)
    page.page.select_option("#sort-host", "trouble")
    assert "1,000 of 1,000 VMs, 200 of 200 hosts" in page.status
    page.page.focus("#grid")
    page.keys("Control+End", "Enter")
    name = page.here.split(" to ")[0]
    assert name in page.page.text_content("#cell h2")


def test_a_thousand_by_two_hundred_draws_only_what_is_visible(opened: Any) -> None:
    page = opened("large")
    for size in (2, 6, 12, 24):
        page.page.fill("#size", str(size))
        page.page.dispatch_event("#size", "input")
        for _ in range(3):
            page.page.evaluate("() => document.getElementById('grid').scrollBy(300, 900)")
            page.settled()
    page.page.select_option("#sort-vm", "cause")
    page.settled()
    # Nothing is in the page for each cell or each VM.
    assert page.page.evaluate("() => document.querySelectorAll('*').length") < 1500


def test_zooming_out_shows_the_whole(opened: Any) -> None:
    page = opened("folded")
    page.page.focus("#grid")
    page.keys("0")
    page.settled()
    area = page.page.evaluate(
        """() => { const g = document.getElementById('grid');
        return [g.scrollWidth - g.clientWidth, g.scrollHeight - g.clientHeight]; }"""
    )
    assert area == [0, 0]


def test_equal_ones_are_folded_and_unfolded(opened: Any) -> None:
    page = opened("folded")
    assert page.page.is_checked("#fold")
    rows = int(page.page.get_attribute("#grid", "aria-rowcount"))
    assert rows <= 80
    assert int(page.page.get_attribute("#grid", "aria-colcount")) < 200
    page.page.focus("#grid")
    page.keys("f")
    assert page.page.get_attribute("#grid", "aria-rowcount") == "1000"
    assert page.page.get_attribute("#grid", "aria-colcount") == "200"


def test_a_pair_has_an_address(opened: Any) -> None:
    page = opened("large", fragment="#vm=db-0400&host=node150")
    assert "db-0400 → node150" in page.page.text_content("#cell h2")
    page.page.focus("#grid")
    page.keys("ArrowRight", "Enter")
    assert page.page.url.endswith("#vm=db-0400&host=node151")


def _luminance(colour: tuple[int, int, int]) -> float:
    parts = [one / 255 for one in colour]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_dark_and_without_colour(opened: Any, scheme: str) -> None:
    """Refused and loads are told apart by lightness alone, in either scheme."""
    page = opened("small", color_scheme=scheme)
    page.settled()
    colours = {
        name: page.page.evaluate(
            "(name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()",
            f"--{name}",
        )
        for name in ("page", "text", "refused", "loads", "ink-refused")
    }
    rgb = {
        name: (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16))
        for name, text in colours.items()
    }
    assert (_luminance(rgb["page"]) > 0.5) == (scheme == "light")
    there = page.pixels()
    assert rgb["refused"] in there
    assert rgb["loads"] in there

    def contrast(one: str, two: str) -> float:
        high, low = sorted((_luminance(rgb[one]), _luminance(rgb[two])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert contrast("page", "text") > 7
    assert contrast("refused", "loads") > 3
    assert contrast("refused", "ink-refused") > 4.5
    page.page.click("#theme")
    page.page.click("#theme")
    assert page.page.get_attribute("html", "data-theme") == "dark"


def test_narrow_windows_scroll_only_downwards(opened: Any) -> None:
    page = opened("small", viewport={"width": 420, "height": 800})
    assert page.page.evaluate("() => document.documentElement.scrollWidth") <= 420


def test_it_prints_the_whole_map(opened: Any, tmp_path: Path) -> None:
    page = opened("folded")
    pdf = page.page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert pdf.startswith(b"%PDF")
    # The map is in it as pictures; on the screen nothing of them is left.
    assert pdf.count(b"/Subtype /Image") >= 2
    page.page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
    assert page.page.query_selector("#print img") is None


def test_without_scripts_the_causes_are_there(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["small"].as_uri())
    text = page.text_content("body")
    assert "The heat map needs JavaScript" in text
    assert "-cpu v2" in text
    context.close()


def test_what_broke_leads_to_its_pair(browser: Any, tmp_path: Path) -> None:
    document = json.loads(
        json.dumps(made.matrix([[made.loads(), made.refused(1)], [made.loads()] * 2]).to_json())
    )
    document["releases"] = {
        "releases": ["7.2", "10.0"],
        "broken": [{"release": "10.0", "vm": 0, "host": 1, "before": 0, "message": "gone"}],
        "broken_by_last": 1,
        "left_out": [{"name": "vfio-pci", "reason": "no <host> device"}],
    }
    (tmp_path / "page.html").write_text(render(document), "utf-8")
    page = Page(browser, tmp_path / "page.html")
    page.page.click("#tab-news")
    assert "10.0: 1 pairs that 7.2 did not break" in page.page.text_content("#news")
    assert "no <host> device" in page.page.text_content("#news")
    page.page.click("#news .go")
    assert "vm0 → host1" in page.page.text_content("#cell h2")
    assert page.complaints == []
    page.context.close()
