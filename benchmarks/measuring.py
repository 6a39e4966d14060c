# ruff: noqa: T201
"""What the benchmarks of the viewers share: a table of limits, a page, the memory of a process."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

__all__ = ["Table", "page_of", "resident"]


class Table:
    """Rows of what was measured, and whether it is within its limit."""

    def __init__(self) -> None:
        print(f"{'':44} {'measured':>10} {'limit':>8}")

    def row(self, name: str, value: float, limit: float | None = None, unit: str = "ms", *, digits: int = 0) -> None:
        within = "" if limit is None else "yes" if value <= limit else "NO"
        print(f"{name:44} {value:7.{digits}f} {unit:3} {'' if limit is None else limit:>7} {within}", flush=True)


@contextlib.contextmanager
def page_of() -> Iterator[Page]:
    """A page of a headless Chromium."""
    with sync_playwright() as play:
        arguments = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        try:
            yield browser.new_page(viewport={"width": 1280, "height": 800})
        finally:
            browser.close()


def resident(pid: int) -> float:
    """Resident memory of a process, MB."""
    (size,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(size) / 1024
