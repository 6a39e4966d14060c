# ruff: noqa: T201
"""How fast the reciprocal lattice viewer is: ``python benchmarks/reciprocal_lattice_viewer.py`` prints a table.

The program runs by itself, on files of random spots of one crystal, or of many, each on its still; its page is opened
in headless Chromium, whose software WebGL is slower than any graphics card. Work of the script is what the page does
for a frame.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import Table, page_of, resident
from playwright.sync_api import Page

from puredials.io.expt import write_experiments
from puredials.io.refl import write_reflections
from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Flags,
    Goniometer,
    ImageSet,
    Panel,
    ReflectionTable,
    Scan,
    rotation_matrix,
)

# Points, and the crystals that they are of.
SETS = ((1_000_000, 1), (2_000_000, 1), (200_000, 2_000))
N_TURNS = 20
# Milliseconds of the script's work for frames, each turned a little.
TURNED = """async (turns) => {
  const { state, busy } = window.viewer, works = [], view = document.getElementById("view");
  for (let n = 0; n < turns; n++) {
    view.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
    while (busy()) await new Promise(requestAnimationFrame);
    works.push(state.work);
  }
  return works;
}"""


def spots(folder: Path, n: int, crystals: int) -> tuple[Path, Path]:
    """Files of experiments and of `n` spots, half of them indexed; each of several crystals has its still."""
    rng = np.random.default_rng(0)
    size, pixel, images = 4000, 0.075, 3600
    panel = Panel(
        np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-150.0, 150, -200]), (size, size), (pixel, pixel)
    )
    beam, detector, goniometer = Beam(np.array([0, 0, 1.0]), 1.0), Detector((panel,)), Goniometer(np.array([1.0, 0, 0]))
    turning = (goniometer, Scan((1, images), (0.0, 0.1))) if crystals == 1 else (None, None)
    axes = (
        rotation_matrix(np.array([1.0, 2, 3]), 0.5 + k) @ np.diag([1 / 60, 1 / 70, 1 / 80]) for k in range(crystals)
    )
    experiments = [
        Experiment(
            beam, detector, *turning, Crystal(A), imageset=ImageSet(template=f"{k}_####.cbf"), identifier=f"bench{k}"
        )
        for k, A in enumerate(axes)
    ]
    indexed = np.arange(n) % 2 == 0
    owner = (np.arange(n) * crystals // n).astype(np.int32)
    table = ReflectionTable(
        {
            "id": np.where(indexed, owner, -1).astype(np.int32),
            "imageset_id": owner,
            "panel": np.zeros(n, np.uint64),
            "miller_index": rng.integers(-30, 30, (n, 3)).astype(np.int32) * indexed[:, None],
            "flags": np.where(indexed, int(Flags.STRONG | Flags.INDEXED), int(Flags.STRONG)).astype(np.uint64),
            "xyzobs.px.value": rng.uniform(0, [size, size, images], (n, 3)),
            "n_signal": rng.integers(3, 100, n).astype(np.int32),
        }
    ).with_identifiers({k: e.identifier for k, e in enumerate(experiments)})
    names = folder / "spots.expt", folder / "spots.refl"
    write_experiments(Experiments(tuple(experiments)), names[0])
    write_reflections(table, names[1])
    return names


def drawn(page: Page, address: str) -> float:
    """Seconds from opening a page to its first picture."""
    begin = time.perf_counter()
    page.goto(address)
    while not page.evaluate("window.viewer ? window.viewer.state.ready > 0 : false"):
        page.wait_for_timeout(5)
    return time.perf_counter() - begin


def main() -> None:
    code = "import sys; from puredials.cli.reciprocal_lattice_viewer import main; sys.exit(main())"
    table = Table()
    with page_of() as page, tempfile.TemporaryDirectory() as folder:
        for n, crystals in SETS:
            files = spots(Path(folder), n, crystals)
            begin = time.perf_counter()
            command = [sys.executable, "-c", code, *map(str, files), "browser=False"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
                try:
                    found = (re.search(r"http://\S+", line) for line in program.stdout or ())
                    address = next(match.group() for match in found if match)
                    print(f"{n:,} points of {crystals:,} crystals")
                    started = time.perf_counter() - begin
                    table.row("program reads its files", started, None, "s", digits=2)
                    opened = drawn(page, address)
                    table.row("page opened, points drawn", opened, None, "s", digits=2)
                    limit = 4.0 if n <= SETS[0][0] else None
                    table.row("from the command to the points", started + opened, limit, "s", digits=2)
                    shown = page.evaluate("viewer.state.data.phi.length")
                    table.row("points not shown", n - shown, 0, "")
                    works = page.evaluate(TURNED, N_TURNS)
                    table.row("script's work for a frame, median", float(np.median(works)), 8, digits=2)
                    table.row("script's work for a frame, most", max(works), 8, digits=2)
                    page.mouse.move(300, 300)
                    begin = time.perf_counter()
                    page.mouse.move(460, 400)
                    while not page.evaluate("window.viewer.state.label"):
                        page.wait_for_timeout(5)
                    table.row("nearest point told", 1e3 * (time.perf_counter() - begin))
                    begin = time.perf_counter()
                    page.click("#projection")
                    while not page.evaluate("Boolean(window.viewer.state.found)"):
                        page.wait_for_timeout(5)
                    table.row("projection drawn", 1e3 * (time.perf_counter() - begin))
                    table.row("memory of the program", resident(program.pid), None, "MB")
                finally:
                    program.terminate()


if __name__ == "__main__":
    main()
