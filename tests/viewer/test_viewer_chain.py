"""What the page saves is what the programs then do: masks and thresholds from the mouse to the spots found."""

from pathlib import Path

import numpy as np
import pytest

from browser import opened, settle, until
from puredials.cli import apply_mask, find_spots
from puredials.cli import import_ as importing
from puredials.io import read_experiments, read_reflections
from puredials.io.formats import open_images, read_mask
from puredials.simulate import SimulationConfig, simulate
from puredials.viewer import STATIC, ImageView
from puredials.viewer.reflections import reflections_on

CONFIG = {
    "name": "thing",
    "seed": 5,
    "protein": {"space_group": "P 1", "cell": [40, 50, 60, 80, 85, 95], "d_min": 2.5, "photons_at_4A": 30000},
    "detector": {"type": "pilatus_300k", "distance_mm": 100, "n_hot_unmasked": 0},
    "sweeps": [{"n_images": 3, "width_deg": 0.3}],
}
# Fewer pixels than by default; nothing is left out for its size.
THRESHOLDS = {"sigma_strong": "5", "sigma_background": "4", "kernel_size": "4 5", "gain": "1.2", "min_local": "6"}
EVERY_PIXEL = ("min_spot_size=1", "max_spot_size=100000", "max_separation=1000")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, a mask and thresholds that the page has saved, and how many pixels it marked on each image."""
    folder = tmp_path_factory.mktemp("chain")
    simulate(SimulationConfig.model_validate(CONFIG), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert importing.main(["thing_1.nxs"]) == 0
        view = ImageView.opened(read_experiments("imported.expt"), open_images)
        with opened(view, STATIC) as page:
            settle(page)
            draw(page)
            for control, value in THRESHOLDS.items():
                page.fill(f"#{control}", value)
                page.keyboard.press("Enter")
            page.check("#threshold")
            page.click("#save_phil")
            marked = [marks(page, image) for image in range(3)]
    return folder, marked


def draw(page):
    """A rectangle, a circle and a polygon, saved as a mask."""
    view, box = page.evaluate("window.viewer.view"), page.locator("#view").bounding_box()

    def place(x, y):
        return box["x"] + view["x"] + x * view["scale"], box["y"] + view["y"] + y * view["scale"]

    for kind, first, last in (("rectangle", (30, 40), (200, 250)), ("circle", (350, 400), (350, 470))):
        page.click(f"#tools button[value={kind}]")
        page.mouse.move(*place(*first))
        page.mouse.down()
        page.mouse.move(*place(*last), steps=3)
        page.mouse.up()
    page.click("#tools button[value=polygon]")
    page.mouse.click(*place(60, 350))
    page.mouse.click(*place(220, 380))
    page.mouse.dblclick(*place(100, 560))
    page.click("#save_mask")
    until(page, lambda: "pixels.mask" in page.locator("#said").text_content())


def marks(page, image):
    page.evaluate(f"window.viewer.go({image})")
    settle(page)
    return page.evaluate("window.viewer.state.over.threshold.length / 3")


def strong(path, image):
    """Places (panel, x, y) of the strong pixels of the spots in a file."""
    table = read_reflections(path)
    found = reflections_on(table, np.zeros(1, np.int64), range(image, image + 1), indexed=False, integrated=False)
    return found["strong"].astype(int)


def test_no_spot_is_found_where_a_mask_was_drawn(folder, monkeypatch):
    monkeypatch.chdir(folder[0])
    experiments = read_experiments("imported.expt")
    (usable,), (mask,) = (
        open_images(experiments[0]).static_mask(),
        read_mask(Path("pixels.mask"), experiments[0].detector),
    )
    drawn = usable & ~mask
    assert drawn[150, 100]
    assert drawn[430, 350]
    assert drawn[400, 130]
    assert apply_mask.main(["imported.expt", "mask=pixels.mask"]) == 0
    numbers = []
    for name in ("imported.expt", "masked.expt"):
        assert find_spots.main([name, "nproc=1", *EVERY_PIXEL]) == 0
        places = np.concatenate([strong("strong.refl", image) for image in range(3)])
        inside = drawn[places[:, 2], places[:, 1]]
        numbers.append((int(inside.sum()), int((~inside).sum())))
    (with_spots, elsewhere), (without, still) = numbers
    assert with_spots > 50
    assert without == 0
    assert still > 0.9 * elsewhere


def test_find_spots_finds_the_very_pixels_that_the_page_marked(folder, monkeypatch):
    """The saved thresholds do what was seen; of the spots, the page then marks these pixels again."""
    monkeypatch.chdir(folder[0])
    assert find_spots.main(["imported.expt", "find_spots.phil", "nproc=1", *EVERY_PIXEL]) == 0
    assert [len(strong("strong.refl", image)) for image in range(3)] == folder[1]
    assert min(folder[1]) > 100
