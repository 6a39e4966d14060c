"""Images larger than the screen: little is sent of them, nothing bright is lost, and what is told of them is exact."""

import io

import numpy as np
import pytest

from browser import opened, settle, until
from puredials.errors import FileError
from puredials.model import Beam, Detector, Experiment, Experiments, ImageSet, Panel
from puredials.viewer import STATIC, ImageView

WIDTH, HEIGHT, GAP = 1300, 2200, 10
# Panel, x, y of single bright pixels: in corners, and on both sides of the edges of parts.
CORNERS = [(0, 0), (WIDTH - 1, 0), (0, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1)]
BRIGHT = [(n, x, y) for n in (0, 1) for x, y in [*CORNERS, (649, 1100), (650, 1099), (433, 733), (434, 734)]]
BROKEN = 2


class Large:
    """Three images that are dark but for a few pixels, and between them one that cannot be read."""

    def __init__(self):
        image = np.zeros((2, HEIGHT, WIDTH), np.uint16)
        for k, place in enumerate(BRIGHT):
            image[place[0], place[2], place[1]] = 1000 + k
        image[:, 40, :] = np.arange(WIDTH) % 7
        self.image = image

    def __len__(self):
        return 4

    def read(self, index):
        if index == BROKEN:
            raise FileError(f"Image {index + 1} of big.h5 cannot be read: it is damaged.")
        return tuple(self.image + np.uint16(index) * (self.image > 900))

    def static_mask(self):
        return tuple(np.ones((HEIGHT, WIDTH), np.bool_) for _ in range(2))


@pytest.fixture(scope="module")
def view():
    x, y = np.array([1.0, 0, 0]), np.array([0, -1.0, 0])
    corners = [np.array([0.1 * (n * (WIDTH + GAP) - WIDTH), 0.05 * HEIGHT, -200.0]) for n in range(2)]
    detector = Detector(tuple(Panel(x, y, corner, (WIDTH, HEIGHT), (0.1, 0.1)) for corner in corners))
    experiment = Experiment(Beam(np.array([0, 0, 1.0]), 1.0), detector, imageset=ImageSet(template="big.h5"))
    return ImageView(Experiments((experiment,)), [Large()])


@pytest.fixture(scope="module")
def sent():
    """The number of bytes of each answer with pixels."""
    return []


@pytest.fixture(scope="module")
def page(view, sent):
    def counted(query):
        reply = view.routes["image.bin"](query)
        sent.append(len(reply.body))
        return reply

    class Counting:
        routes, actions = {**view.routes, "image.bin": counted}, view.actions

    with opened(Counting, STATIC) as page:
        yield page


@pytest.fixture(autouse=True)
def at_rest(page, sent):
    """Each test begins with all of the first image; what has been sent is counted from then on."""
    page.reload()
    settle(page)
    page.uncheck("#beam")
    settle(page)
    sent.clear()
    yield
    # The browser lists what the server could not read.
    assert [fault for fault in page.faults if "400" not in fault] == []


def place(page, panel, x, y):
    view = page.evaluate("window.viewer.view")
    return view["x"] + (x + panel * (WIDTH + GAP)) * view["scale"], view["y"] + y * view["scale"]


def picture(page):
    settle(page)
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(page.locator("#view").screenshot())).convert("L")
    return np.asarray(image)


def closer(page, panel, x, y, scale):
    """Show a pixel in the middle."""
    u, v = x + panel * (WIDTH + GAP) + 0.5, y + 0.5
    page.evaluate(f"""(() => {{
      const {{ view, draw }} = window.viewer, {{ width, height }} = document.getElementById("image"), scale = {scale};
      Object.assign(view, {{ scale, fitted: false, x: width / 2 - {u} * scale, y: height / 2 - {v} * scale }});
      draw();
    }})()""")
    settle(page)


@pytest.mark.parametrize("scale", [None, 0.1, 0.23, 0.45, 0.7])
def test_no_bright_pixel_is_lost_where_a_screen_pixel_covers_many(page, scale):
    if scale:
        closer(page, 0, WIDTH, HEIGHT / 2, scale)
    shown = picture(page)
    for spot in BRIGHT:
        x, y = (round(c) for c in place(page, *spot))
        if 3 < x < shown.shape[1] - 3 and 3 < y < shown.shape[0] - 3 and y > 60:  # above is the caption
            assert shown[y - 2 : y + 3, x - 2 : x + 3].min() < 40, spot


def test_a_whole_image_is_one_small_answer(page, sent):
    page.evaluate("window.viewer.go(1)")
    settle(page)
    screen = page.evaluate("document.getElementById('image').width * document.getElementById('image').height")
    assert sent == []  # it was fetched ahead, and the next cannot be read
    page.evaluate("window.viewer.go(3)")
    settle(page)
    assert len(sent) == 1
    assert sent[0] < 2 * screen
    assert "largest value" in page.locator("#caption").text_content()


def test_close_up_only_what_is_seen_is_asked_for(page, sent):
    closer(page, 0, 650, 1100, 40)
    assert len(sent) == 1
    assert sent[0] < 1_000_000
    closer(page, 0, 640, 1100, 40)
    assert len(sent) == 1
    assert page.locator("#caption").text_content() == ""
    for x, y in ((649, 1100), (650, 1099), (650, 1100)):
        expected = 1000 + BRIGHT.index((0, x, y)) if (0, x, y) in BRIGHT else 0
        assert page.evaluate(f"window.viewer.value(0, {x}, {y})") == expected


def test_the_status_line_tells_exact_counts_of_a_picture_that_is_coarse(page):
    box = page.locator("#view").bounding_box()
    number = BRIGHT.index((1, 434, 734))
    x, y = place(page, 1, 434.5, 734.5)
    page.mouse.move(box["x"] + x, box["y"] + y)
    until(page, lambda: "..." not in page.locator("#status").text_content())
    text = page.locator("#status").text_content()
    at = [float(text.split(f"{axis} ")[1].split()[0]) for axis in "xy"]
    i, j = (int(c) for c in at)
    assert f"value {1000 + number if (i, j) == (434, 734) else 0}" in text
    assert "panel 1" in text


def test_profiles_are_exact_across_parts(page):
    page.click("#tools button[value=line]")
    box = page.locator("#view").bounding_box()
    first, last = place(page, 0, 5.5, 40.5), place(page, 0, WIDTH - 5.5, 40.5)
    page.mouse.move(box["x"] + first[0], box["y"] + first[1])
    page.mouse.down()
    page.mouse.move(box["x"] + last[0], box["y"] + last[1], steps=3)
    page.mouse.up()
    until(page, lambda: page.locator("#drawer").is_visible())
    path = page.evaluate("window.viewer.tools.path")
    curve = page.evaluate("window.viewer.state.curve")
    (_, i0, j0), (_, i1, j1) = path
    share = np.array(curve["x"]) / np.hypot(i1 - i0, j1 - j0)
    x, y = (np.floor(a + (b - a) * share).astype(int) for a, b in ((i0, i1), (j0, j1)))
    np.testing.assert_array_equal(curve["y"], Large().image[0, y, x])
    assert len(curve["x"]) > WIDTH - 20
    page.click("#close")
    page.click("#tools button[value=pan]")


def test_an_image_that_cannot_be_read_is_told_and_left_behind(page):
    page.evaluate("window.viewer.go(1)")
    settle(page)
    good = picture(page)
    page.click("#next")
    until(page, lambda: "big.h5 cannot be read" in page.locator("#error").text_content())
    assert page.locator("#number").input_value() == str(BROKEN + 1)
    assert (picture(page) != good).mean() > 0.5
    page.click("#next")
    until(page, "window.viewer.state.image == 3")
    settle(page)
    assert page.locator("#error").text_content() == ""
    assert page.evaluate("window.viewer.state.frame.tiles.size") > 0


def test_play_goes_past_an_image_that_cannot_be_read(page):
    page.click("#play")
    until(page, "window.viewer.state.image == 3")
    until(page, lambda: page.locator("#play").text_content() == "Play")
