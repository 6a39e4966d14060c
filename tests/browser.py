"""Pages opened in a headless Chromium; tests that need it are skipped where it is absent."""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from puredials.viewer import ViewerServer

__all__ = ["chromium", "opened", "settle", "until"]

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
