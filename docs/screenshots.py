"""Pictures of viewers and reports for the documentation: ``python docs/screenshots.py demo`` after ``make demo``.

Needs playwright and Chromium. The folder is one of a finished run; pictures go to docs/pictures. Names after the folder
choose pictures.
"""

import io
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from puredials.io.expt import read_experiments
from puredials.io.formats import open_images
from puredials.io.profiles import profiles_beside
from puredials.io.refl import read_reflections
from puredials.report import report, write_page
from puredials.viewer import HOME_STATIC, LATTICE_STATIC, STATIC, ImageView, LatticeView, RunView, ViewerServer

PICTURES = Path(__file__).parent / "pictures"
WIDTH, HEIGHT = 1280, 800
# Fewer colours keep files small.
COLOURS = 200

# Move to the indexed spot that is nearest to the middle.
CLOSE_UP = """() => {
  const { state, view, draw } = window.viewer, { over, layout } = state, scale = 34;
  const middle = layout.extent().map(([low, high]) => (low + high) / 2), canvas = document.getElementById("image");
  const starts = [...over.labelled.keys()].filter((k) => k % 3 === 0);
  const spots = starts.map((k) => layout.flat(...over.labelled.slice(k, k + 3)));
  const away = ([u, v]) => Math.hypot(u - middle[0], v - middle[1]);
  const [u, v] = spots.reduce((a, b) => (away(a) < away(b) ? a : b));
  Object.assign(view, { scale, x: canvas.width / 2 - u * scale, y: canvas.height / 2 - v * scale, fitted: false });
  draw();
}"""
# The place of the beam in the window.
BEAM = "window.viewer.view.screen(window.viewer.state.layout.flat(...window.viewer.state.layout.set.beam))"

# Name, files, and what is done before the picture is taken: keys, clicks on #elements, choices "#element=value",
# "mouse x y", and a few more.
VIEWS = (
    ("image_viewer", "integrated", ("#resolution", "#observed", "#boxes", "white 60", "mouse 640 260")),
    ("image_viewer_threshold", "strong", ("#observed", "#modes [value=dispersion]", "#scaling=sqrt", "mouse 500 200")),
    ("image_viewer_pixels", "indexed", ("#hkl", "#threshold", "find", "mouse 480 420")),
    ("image_viewer_mask", "imported", ("#tools [value=circle]", "drag", "#radial", "#colours=viridis", "#axis")),
    ("reciprocal_lattice", "indexed", ("#crystal_frame", "#down_a", "#colouring=image", "mouse 420 330")),
    ("reciprocal_lattice_projection", "indexed", ("#down_c", "#projection", "#along=0", "mouse 1 1")),
    ("home", "", ()),
)
# Name, files, the height of the part that is shown, and the plot that it begins with.
PAGES = (
    ("report", "scaled", 1150, ""),
    ("scale", "scaled", 1085, "cc_one_half"),
    ("report_profiles", "integrated", 560, "reference_profiles_xy"),
)


def view(folder: Path, picture: str, name: str) -> tuple[tuple[str, ...], ImageView | LatticeView | RunView]:
    if picture == "home":
        return HOME_STATIC, RunView(folder, dict.fromkeys(("images", "lattice"), cannot_open))
    experiments = read_experiments(folder / f"{'imported' if name == 'strong' else name}.expt")
    table = folder / f"{name}.refl"
    if picture.startswith("reciprocal_lattice"):
        return LATTICE_STATIC, LatticeView(experiments, read_reflections(table))
    reflections = read_reflections(table) if table.exists() else None
    return STATIC, ImageView.opened(experiments, lambda e: open_images(e, base=folder), reflections)


def cannot_open(*_: object) -> tuple[tuple[str, ...], ImageView]:
    raise NotImplementedError("Pictures are taken of one page.")


def settle(page: Page) -> None:
    if page.locator("#home").count():
        page.wait_for_selector("#numbers")
        return
    for _ in range(2):
        while not page.evaluate("window.viewer ? !window.viewer.busy() && window.viewer.state.drawn > 0 : false"):
            page.wait_for_timeout(20)
        page.wait_for_timeout(100)


def act(page: Page, step: str) -> None:
    words = step.split()
    if words[0] == "mouse":
        page.mouse.move(float(words[1]), float(words[2]))
    elif step == "find":
        page.evaluate(CLOSE_UP)
    elif step == "drag":  # about the beam
        x, y = page.evaluate(BEAM)
        box = page.locator("#view").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.down()
        page.mouse.move(box["x"] + x + 40, box["y"] + y + 20, steps=3)
        page.mouse.up()
    elif words[0] == "white":
        page.fill("#high", words[1])
    elif "=" in step and "[" not in step:
        selector, value = step.split("=")
        page.select_option(selector, value)
    else:
        page.click(step)
    settle(page)


def take(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        PICTURES / f"{name}.png", optimize=True
    )


def show_report(page: Page, folder: Path, name: str, height: int, plot: str) -> None:
    table = folder / f"{name}.refl"
    profiles = profiles_beside([table])
    found = report(read_experiments(folder / f"{name}.expt"), read_reflections(table), profiles=profiles)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "report.html"
        write_page(path, f"Report: {found.title}", found.sections)
        page.set_viewport_size({"width": WIDTH, "height": height})
        page.goto(path.as_uri())
        page.wait_for_function("document.querySelectorAll('.main-svg').length > 10")
        if plot:
            page.evaluate(f"document.querySelector('[download=\"{plot}.json\"]').closest('section').scrollIntoView()")
        page.wait_for_timeout(1000)


def main(words: Sequence[str]) -> None:
    folder, chosen = Path(words[0]), words[1:]
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
        )
        for name, files, height, plot in PAGES:
            if not chosen or name in chosen:
                page = browser.new_page()
                show_report(page, folder, files, height, plot)
                take(page, name)
                page.close()
        for name, files, steps in VIEWS:
            if chosen and name not in chosen:
                continue
            static, shown = view(folder, name, files)
            with ViewerServer(shown.routes, static, actions=shown.actions) as server:
                threading.Thread(target=server.serve_forever, daemon=True).start()
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
                page.goto(server.address)
                settle(page)
                for step in steps:
                    act(page, step)
                if name == "home":  # a folder as users have it
                    page.evaluate("document.getElementById('folder').textContent = '/data/insulin'")
                take(page, name)
                page.close()
                server.shutdown()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
