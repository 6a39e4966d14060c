"""Pages opened in a headless Chromium; tests that need it are skipped where it is absent."""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from puredials.viewer import ViewerServer

__all__ = [
    "beyond_tab",
    "chromium",
    "opened",
    "pale_texts",
    "record_touches",
    "settle",
    "until",
    "untouched",
    "when_all_have_run",
]

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser without windows."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(view: Any, static: tuple[str, ...]) -> Iterator[Any]:
    """The page of a view. `page.faults` collects what goes wrong in it, `page.requests` what it asks for."""
    with chromium() as browser, ViewerServer(view.routes, static, actions=view.actions) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.faults, page.requests, page.address = [], [], server.address
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda line: page.faults.append(line.text) if line.type == "error" else None)
        page.on("dialog", lambda dialog: page.faults.append("a name was run as code"))
        page.on("request", lambda request: page.requests.append(request.url))
        record_touches(page)
        try:
            page.goto(server.address)
            yield page
        finally:
            page.close()
            server.shutdown()
            thread.join()


def until(page, true):
    """Wait until something holds: a function, or an expression in the page.

    Asked from outside: the page's policy forbids the evaluation of text within it.
    """
    end = time.monotonic() + 20
    while not (true() if callable(true) else page.evaluate(f"Boolean({true})")):
        assert time.monotonic() < end, page.locator("#error").text_content()
        page.wait_for_timeout(20)


def settle(page):
    """Wait until the page has got and drawn what it wants."""
    for _ in range(2):
        until(page, "window.viewer && !window.viewer.busy()")
        page.wait_for_timeout(30)


# The name of a control: its own, or that of a list which the page makes of what it has, where one stands for all.
CONTROL = "(e) => e.id || `${e.closest('[id]')?.id} ${e.value}`.trim()"


def record_touches(page):
    """Have a page that is opened afterwards remember which controls are used by mouse, keys or by choosing."""
    page.add_init_script(
        f"window.touched = new Set(); const nameOf = {CONTROL};"
        "for (const kind of ['click', 'input', 'change'])"
        "  document.addEventListener(kind, ({ target, isTrusted }) => {"
        "    const control = target.closest('button, input, select');"
        "    if (control && (isTrusted || kind !== 'click')) window.touched.add(nameOf(control));"
        "  }, true);"
    )


def untouched(page, within="body"):
    """Controls of some elements of a page that nothing has used."""
    return page.evaluate(
        f"""(within) => {{
          const all = [...document.querySelectorAll(within)].flatMap((e) => [e, ...e.querySelectorAll("*")]);
          const controls = all.filter((e) => e.matches("button, input, select") && !e.disabled);
          return [...new Set(controls.map({CONTROL}))].filter((name) => !window.touched.has(name));
        }}""",
        within,
    )


def beyond_tab(page):
    """Controls of a page that the tab key does not lead to, and those whose focus is not seen."""
    wanted = page.evaluate(
        f"""() => [...document.querySelectorAll("button, input, select")]
          .filter((e) => e.checkVisibility() && !e.disabled).map({CONTROL})"""
    )
    page.evaluate("document.activeElement.blur()")
    reached, dim = set(), set()
    for _ in range(len(wanted) + 5):
        page.keyboard.press("Tab")
        name, seen = page.evaluate(
            f"""() => {{
              const e = document.activeElement, {{ outlineStyle, outlineWidth }} = getComputedStyle(e);
              return [({CONTROL})(e), outlineStyle !== "none" && parseFloat(outlineWidth) >= 2];
            }}"""
        )
        reached.add(name)
        dim |= set() if seen else {name}
    assert len(wanted) > 5
    return [name for name in wanted if name not in reached], sorted(dim & set(wanted))


def when_all_have_run(request):
    """For a test at the end of a file that tells something of all others: skipped where some were not chosen."""
    chosen = {item.originalname for item in request.session.items if item.module is request.module}
    if not chosen >= {name for name in vars(request.module) if name.startswith("test_")}:
        pytest.skip("tells something after all tests of this file")


def pale_texts(page):
    """Texts of a page that stand out less than 4.5 : 1 from what is behind them (WCAG 2, level AA), and by how much."""
    pale, n_texts = page.evaluate(
        """() => {
          let seen = 0;
          const rgba = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
          const over = ([r, g, b, a], below) => [r, g, b].map((v, k) => v * a + below[k] * (1 - a));
          const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
          const luminance = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
          const chain = (e) => { const found = []; for (; e; e = e.parentElement) found.unshift(e); return found; };
          const pale = [];
          for (const e of document.querySelectorAll("body *")) {
            const written = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
            if (!written && !(e.matches("input, select") && e.value)) continue;
            if (!e.checkVisibility() || e.matches("option")) continue;
            seen += 1;
            let ground = [255, 255, 255], opacity = 1;
            for (const one of chain(e)) {
              const style = getComputedStyle(one);
              ground = over(rgba(style.backgroundColor), ground);
              opacity *= Number(style.opacity);
            }
            const [r, g, b, a] = rgba(getComputedStyle(e).color);
            const [x, y] = [luminance(over([r, g, b, a * opacity], ground)), luminance(ground)].sort((p, q) => q - p);
            const contrast = (x + 0.05) / (y + 0.05);
            if (contrast < 4.5) pale.push(`${(e.textContent.trim() || e.id).slice(0, 40)}: ${contrast.toFixed(2)}`);
          }
          return [pale, seen];
        }"""
    )
    assert n_texts > 20
    return pale
