# ruff: noqa: T201
"""How fast the image viewer is: ``python benchmarks/image_viewer.py imported.expt [--browse]`` prints a table.

The page runs in headless Chromium, whose software WebGL is slower than any graphics card: times are given with and
without the wait for it, and the processor time of server and browser together, which other programs on the machine
change less. Memory is that of the server's process while 1,000 images are asked for.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from measuring import Table, page_of, resident
from playwright.sync_api import Page

from puredials.io.expt import read_experiments
from puredials.io.formats import open_images
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.spots.explain import MODES
from puredials.viewer import STATIC, ImageView, ViewerServer

N_MARKS = 100_000
N_BROWSED = 1000
N_TIMES = 6
# An image of so many pixels is called large, and given more time.
LARGE = 6e6
# Ask for an image (or a stage of the threshold): milliseconds until its pixels have come, until it has been handed
# to the graphics card, until that has drawn it; the work of the script for the frame.
TIMED = """async (image) => {
  const { state, gl, go, busy } = window.viewer, begin = performance.now();
  await go(image);
  while (busy()) await new Promise(requestAnimationFrame);
  const drawn = performance.now();
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  return [state.got - begin, drawn - begin, performance.now() - begin, state.work];
}"""


def many_reflections(experiments: Experiments) -> ReflectionTable:
    """Boxes, centroids and predictions of reflections on the last image."""
    width, height = experiments[0].detector[0].image_size
    rng = np.random.default_rng(0)
    corner = np.column_stack([rng.integers(0, width - 8, N_MARKS), rng.integers(0, height - 8, N_MARKS)])
    scan = experiments[0].scan
    z = np.full(N_MARKS, 0 if scan is None else scan.array_range[1] - 1, np.int32)
    box = np.column_stack([corner[:, 0], corner[:, 0] + 8, corner[:, 1], corner[:, 1] + 8, z, z + 1]).astype(np.int32)
    centre = np.column_stack([corner + 4.0, z + 0.5])
    return ReflectionTable(
        {
            "bbox": box,
            "flags": np.full(N_MARKS, Flags.INDEXED, np.uint64),
            "id": np.zeros(N_MARKS, np.int32),
            "panel": np.zeros(N_MARKS, np.uint64),
            "xyzcal.px": centre + 0.3,
            "xyzobs.px.value": centre,
        }
    )


def settled(page: Page) -> None:
    while not page.evaluate("window.viewer ? !window.viewer.busy() && window.viewer.state.drawn > 0 : false"):
        page.wait_for_timeout(5)


def processor_ms() -> float:
    """Processor time until now (ms) of this process, which is the server, and of what it has started: the browser."""
    parents, times = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)], times[int(stat.parent.name)] = (
                int(fields[1]),
                int(fields[11]) + int(fields[12]),
            )
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sum(times[pid] for pid in found) * 1000 / os.sysconf("SC_CLK_TCK")


def timed_page(page: Page, address: str, n_images: int, *, large: bool, table: Table) -> None:
    begin, spent = time.perf_counter(), processor_ms()
    page.goto(address)
    settled(page)
    page.evaluate(READ)
    table.row("first image, from opening the page", (time.perf_counter() - begin) * 1000, 1500)
    table.row("    processor time", processor_ms() - spent)
    limit = 400 if large else 150
    # Two images on at a time, so that none has been fetched ahead.
    spent = processor_ms()
    timed(table, "another image", [page.evaluate(TIMED, n % n_images) for n in range(2, 2 + 2 * N_TIMES, 2)], limit)
    table.row("    processor time, with that of the next", (processor_ms() - spent) / N_TIMES)
    timed(table, "next image, which has been fetched ahead", [_next(page, n) for n in range(N_TIMES)], limit)
    for mode in MODES:
        page.click(f"#modes button[value={mode}]")
        settled(page)
        timed(table, f"mode {mode}", [page.evaluate(TIMED, n % n_images) for n in range(3)], None if large else 500)
    page.click("#modes button[value=image]")
    settled(page)
    page.evaluate(TIMED, n_images - 1)
    page.evaluate("window.viewer.state.works.length = 0")
    for _ in range(20):
        page.mouse.move(400, 300)
        page.mouse.wheel(0, -60)
        page.wait_for_timeout(30)
    settled(page)
    works = page.evaluate("window.viewer.state.works")
    marks = page.evaluate("window.viewer.state.over.boxes?.length / 5")
    table.row(f"work of a frame, zooming over {marks:.0f} spots", np.median(works), 8, digits=1)
    table.row("work of the slowest frame", max(works), 8, digits=1)


READ = "(({ gl }) => gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)))(window.viewer)"


def timed(table: Table, name: str, times: list[list[float]], limit: float | None) -> None:
    come, _, drawn, work = np.median(times, axis=0)
    table.row(name, drawn, limit)
    table.row("    until its pixels have come", come)
    table.row("    work of the frame", work, 8, digits=1)


def _next(page: Page, n: int) -> list[float]:
    times = page.evaluate(TIMED, n)
    page.wait_for_timeout(700)  # for the next to come
    return times


def browse(expt: Path, n_images: int, table: Table) -> None:
    """Memory of the program's process."""
    code = "import sys; from puredials.cli.image_viewer import main; sys.exit(main())"
    command = [sys.executable, "-c", code, str(expt), "browser=False"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            address = next(found.group() for line in program.stdout or () if (found := re.search(r"http://\S+", line)))
            sizes = []
            for n in range(N_BROWSED):
                urllib.request.urlopen(f"{address}image.bin?image={n % n_images}&reduce=4").read()
                if n in (50, N_BROWSED // 2, N_BROWSED - 1):
                    sizes.append(resident(program.pid))
        finally:
            program.terminate()
    for n, size in zip((50, N_BROWSED // 2), sizes, strict=False):
        table.row(f"server's memory after {n} images", size, unit="MB")
    table.row(f"server's memory after {N_BROWSED} images", sizes[-1], round(1.05 * sizes[0]), unit="MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("expt", type=Path)
    parser.add_argument("--browse", action="store_true", help="measure memory, too")
    arguments = parser.parse_args()
    experiments = read_experiments(arguments.expt)
    size = experiments[0].detector[0].image_size
    view = ImageView.opened(
        experiments, lambda e: open_images(e, base=arguments.expt.parent), many_reflections(experiments)
    )
    n_images = len(view.sets[0].source)
    print(f"{arguments.expt}: {n_images} images of {size[0]} x {size[1]} pixels; load {os.getloadavg()[0]:.1f}")
    table = Table()
    with ViewerServer(view.routes, STATIC, actions=view.actions) as server, page_of() as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        timed_page(page, server.address, n_images, large=size[0] * size[1] > LARGE, table=table)
        server.shutdown()
    if arguments.browse:
        browse(arguments.expt, n_images, table)


if __name__ == "__main__":
    main()
