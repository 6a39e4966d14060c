# ruff: noqa: T201
"""How fast the image viewer is: ``python benchmarks/image_viewer.py imported.expt [--browse]`` prints a table.

The page runs in headless Chromium, whose software WebGL is slower than any graphics card: the time to draw is given
apart. Reads /usr/bin/chromium; memory is that of the server's process while 1,000 images are asked for.
"""

import argparse
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from puredials.io.expt import read_experiments
from puredials.io.formats import open_images
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.spots.explain import MODES
from puredials.viewer import STATIC, ImageView, ViewerServer

N_MARKS = 100_000
N_BROWSED = 1000
# Ask for an image (or a stage of the threshold); when its pixels have come, and when it has been drawn to the end.
TIMED = """async (image) => {
  const { state, gl, go, busy } = window.viewer, begin = performance.now();
  await go(image);
  while (busy()) await new Promise(requestAnimationFrame);
  const drawn = performance.now();
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  return [state.got - begin, drawn - begin, performance.now() - begin, state.work];
}"""


def many_reflections(experiments: Experiments) -> ReflectionTable:
    """Boxes, centroids and predictions of reflections on the first image."""
    width, height = experiments[0].detector[0].image_size
    rng = np.random.default_rng(0)
    corner = np.column_stack([rng.integers(0, width - 8, N_MARKS), rng.integers(0, height - 8, N_MARKS)])
    z = np.zeros(N_MARKS, np.int32) + experiments[0].scan.array_range[0]
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


def row(what: str, times: list[list[float]]) -> None:
    got, drawn, shown, work = np.median(np.array(times), axis=0)
    print(f"{what:24} {got:9.0f} {drawn:9.0f} {shown:9.0f} {work:9.1f}")


def timed_page(page: Page, address: str, n_images: int) -> None:
    begin = time.perf_counter()
    page.goto(address)
    settled(page)
    print(f"first image drawn after {time.perf_counter() - begin:.2f} s")
    print(f"\n{'milliseconds (median)':24} {'pixels in':>9} {'+ asked':>9} {'+ drawn':>9} {'JS work':>9}")
    # Two images on at a time, so that none has been fetched ahead.
    row("another image", [page.evaluate(TIMED, n % n_images) for n in range(2, 2 + 2 * min(n_images, 10), 2)])
    row("next image (fetched)", [_next(page, n) for n in range(min(n_images, 8))])
    for mode in MODES:
        page.click(f"#modes button[value={mode}]")
        settled(page)
        row(f"mode {mode}", [page.evaluate(TIMED, n % n_images) for n in range(3)])
    page.click("#modes button[value=image]")
    settled(page)
    page.evaluate(TIMED, 0)
    page.evaluate("window.viewer.state.works.length = 0")
    for _ in range(10):
        page.mouse.move(400, 300)
        page.mouse.wheel(0, -20)
        page.wait_for_timeout(30)
    settled(page)
    works = page.evaluate("window.viewer.state.works")
    marks = page.evaluate("window.viewer.state.over.boxes?.length / 5")
    print(
        f"zooming over {marks:.0f} reflections: JS work per frame {np.median(works):.2f} ms, at most {max(works):.2f}"
    )


def _next(page: Page, n: int) -> list[float]:
    times = page.evaluate(TIMED, n)
    page.wait_for_timeout(700)  # for the next to come
    return times


def resident(pid: int) -> float:
    (size,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(size) / 1024


def browse(expt: Path, n_images: int) -> None:
    """Memory of the program's process."""
    code = "import sys; from puredials.cli.image_viewer import main; sys.exit(main())"
    command = [sys.executable, "-c", code, str(expt), "browser=False"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        address = next(found.group() for line in program.stdout or () if (found := re.search(r"http://\S+", line)))
        sizes = []
        for n in range(N_BROWSED):
            urllib.request.urlopen(f"{address}image.bin?image={n % n_images}").read()
            if n in (50, N_BROWSED // 2, N_BROWSED - 1):
                sizes.append(resident(program.pid))
        program.terminate()
    print(f"server's memory after 50, {N_BROWSED // 2}, {N_BROWSED} images: {', '.join(f'{s:.0f}' for s in sizes)} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("expt", type=Path)
    parser.add_argument("--browse", action="store_true", help="measure memory, too")
    arguments = parser.parse_args()
    experiments = read_experiments(arguments.expt)
    source = open_images(experiments[0], base=arguments.expt.parent)
    size = experiments[0].detector[0].image_size
    print(f"{arguments.expt}: {len(source)} images of {size[0]} x {size[1]} pixels")
    view = ImageView(experiments, [source], many_reflections(experiments))
    with ViewerServer(view.routes, STATIC, actions=view.actions) as server, sync_playwright() as play:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        arguments_of_chromium = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=arguments_of_chromium)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        timed_page(page, server.address, len(source))
        browser.close()
        server.shutdown()
    if arguments.browse:
        browse(arguments.expt, len(source))


if __name__ == "__main__":
    main()
