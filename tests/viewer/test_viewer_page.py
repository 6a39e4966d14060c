"""The page of the image viewer in a headless browser."""

import shutil
import threading

import pytest
from viewer_set import viewed

from puredials.viewer import STATIC, ViewerServer

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def page():
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    view, _ = viewed("<img src=x onerror=alert(1)>_####.cbf")
    with ViewerServer(view.routes, STATIC) as server, api.sync_playwright() as play:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        browser = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("dialog", lambda dialog: page.faults.append("a name was run as code"))
        page.goto(server.address)
        ready(page, 1)
        yield page
        browser.close()
        server.shutdown()
        thread.join()


def ready(page, count):
    # Polled from outside: the page's policy forbids the evaluation of text within it.
    for _ in range(100):
        if page.evaluate("window.viewer ? window.viewer.state.ready : 0") >= count:
            break
        page.wait_for_timeout(100)
    page.wait_for_timeout(200)


def shot(page):
    return page.locator("#view").screenshot()


def shown(page):
    return page.evaluate("window.viewer.state.image")


def test_names_are_text_and_nothing_fails(page):
    assert page.locator("#name").text_content() == "<img src=x onerror=alert(1)>_####.cbf"
    assert page.locator("#name img").count() == 0
    assert page.faults == []
    assert page.locator("#error").text_content() == ""


def test_images_follow_buttons_keys_and_numbers(page):
    for act, image in (
        (lambda: page.click("#next"), 1),
        (lambda: (page.focus("#view"), page.keyboard.press("ArrowRight")), 2),
        (lambda: page.click("#previous"), 1),
        (lambda: (page.fill("#number", "3"), page.keyboard.press("Enter")), 2),
    ):
        count = page.evaluate("window.viewer.state.ready")
        act()
        ready(page, count + 1)
        assert shown(page) == image
    assert page.evaluate("window.viewer.state.values[30 * 90 + 20]") == 500


@pytest.mark.parametrize(
    "box", ["beam", "axis", "resolution", "ice", "powder", "boxes", "observed", "peak", "strong", "indexed"]
)
def test_each_toggle_changes_the_picture(page, box):
    before = shot(page)
    page.click(f"#{box}")
    page.wait_for_timeout(400)
    assert shot(page) != before
    page.click(f"#{box}")
    page.wait_for_timeout(300)
    assert shot(page) == before


@pytest.mark.parametrize(("control", "value"), [("colours", "viridis"), ("scaling", "log"), ("scaling", "sqrt")])
def test_colours_and_scales_change_the_picture(page, control, value):
    before = shot(page)
    first = page.locator(f"#{control}").input_value()
    page.select_option(f"#{control}", value)
    page.wait_for_timeout(300)
    assert shot(page) != before
    page.select_option(f"#{control}", first)


def test_the_status_line_tells_the_pixel_under_the_mouse(page):
    view = page.evaluate("window.viewer.view")
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + view["x"] + 20.5 * view["scale"], box["y"] + view["y"] + 30.5 * view["scale"])
    text = page.locator("#status").text_content()
    assert "x 20.5 y 30.5" in text
    assert "value 500" in text
    assert "resolution" in text


def test_the_picture_is_saved_as_png(page, tmp_path):
    with page.expect_download() as download:
        page.click("#png")
    download.value.save_as(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_clear_all_leaves_no_toggle(page):
    page.click("#clear")
    assert page.locator("aside input:checked").count() == 0
    assert page.faults == []
