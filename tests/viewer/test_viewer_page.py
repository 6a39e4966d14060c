"""The page of the image viewer in a headless browser: each control is used, and the picture looked at."""

import io
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from viewer_set import viewed, with_stills

from browser import beyond_tab, opened, pale_texts, settle, until, untouched, when_all_have_run
from puredials.cli.find_spots import Options
from puredials.cli.params import apply, listed_parameters, match
from puredials.cli.phil import parse
from puredials.geometry import px_to_mm
from puredials.io.formats import read_mask
from puredials.viewer import STATIC


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("viewer")


@pytest.fixture(scope="module")
def page(folder):
    view, _ = viewed("<img src=x onerror=alert(1)>_####.cbf", folder)
    with opened(with_stills(view), STATIC) as page:
        settle(page)
        yield page


def state(page, name):
    # Asked from outside: the page's policy forbids the evaluation of text within it.
    return page.evaluate(f"window.viewer ? window.viewer.state.{name} : 0")


def shot(page):
    settle(page)
    return page.locator("#view").screenshot()


def changes(page, act):
    """Act, which changes the picture; the pictures before and after."""
    before = shot(page)
    act()
    after = shot(page)
    assert after != before
    return before, after


def shown(page, act):
    """Act, and wait for the next image."""
    count = state(page, "ready")
    act()
    until(page, lambda: state(page, "ready") > count)
    settle(page)


def place(page, x, y):
    """Where a position of the picture (px) is in the window."""
    view = page.evaluate("window.viewer.view")
    box = page.locator("#view").bounding_box()
    return box["x"] + view["x"] + x * view["scale"], box["y"] + view["y"] + y * view["scale"]


def colours(picture):
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(picture)).convert("RGB")
    return np.asarray(image).astype(int)


def near(picture, colour, tolerance=40):
    return int((np.abs(colours(picture) - colour).max(axis=2) < tolerance).sum())


def mode(page, name):
    shown(page, lambda: page.click(f"#modes button[value={name}]"))


@pytest.fixture(autouse=True)
def at_rest(page):
    """Each test begins with the third image, and leaves no fault."""
    settle(page)
    if state(page, "image") != 2:
        shown(page, lambda: (page.fill("#number", "3"), page.keyboard.press("Enter")))
    page.focus("#view")
    page.keyboard.press("f")
    if state(page, "mode") != "image":
        mode(page, "image")
    yield
    assert page.faults == []


def test_names_are_text(page):
    assert page.locator("#name").text_content() == "<img src=x onerror=alert(1)>_####.cbf"
    assert page.locator("#name img").count() == 0
    assert page.locator("#error").text_content() == ""


def test_images_follow_buttons_keys_and_numbers(page):
    for act, image in (
        (lambda: page.click("#next"), 3),
        (lambda: (page.focus("#view"), page.keyboard.press("ArrowLeft")), 2),
        (lambda: page.click("#previous"), 1),
        (lambda: (page.focus("#view"), page.keyboard.press("End")), 4),
        (lambda: page.keyboard.press("Home"), 0),
        (lambda: page.keyboard.press("Shift+ArrowRight"), 4),
        (lambda: (page.focus("#jump"), page.keyboard.press("ArrowLeft")), 3),
        (lambda: page.fill("#jump", "1"), 1),
        (lambda: (page.fill("#number", "3"), page.keyboard.press("Enter")), 2),
    ):
        shown(page, act)
        assert state(page, "image") == image
    assert page.evaluate("window.viewer.value(0, 20, 30)") == 500


def test_play_runs_to_the_last_image_and_stops(page):
    page.click("#play")
    until(page, lambda: state(page, "image") == 4)
    until(page, lambda: page.locator("#play").text_content() == "Play")


@pytest.mark.parametrize(
    ("box", "colour"),
    [
        ("beam", (11, 63, 255)),
        ("axis", (192, 64, 0)),
        ("resolution", (10, 125, 51)),
        ("ice", (0, 119, 170)),
        ("powder", (138, 43, 226)),
        ("boxes", (10, 64, 255)),
        ("observed", (209, 0, 33)),
        ("predicted", (176, 112, 0)),
        ("peak", None),
        ("strong", None),
        ("threshold", None),
        ("hkl", (106, 13, 173)),
        ("mask", (217, 89, 26)),
        ("indexed", None),
        ("integrated", None),
    ],
)
def test_each_toggle_changes_the_picture_and_back(page, box, colour):
    was_on = page.locator(f"#{box}").is_checked()
    first, second = changes(page, lambda: page.click(f"#{box}"))
    if colour:
        on, off = (first, second) if was_on else (second, first)
        assert near(on, colour) > near(off, colour)
    page.click(f"#{box}")
    assert shot(page) == first


BOXES = ("resolution", "ice", "powder", "beam", "axis", "observed", "boxes", "predicted", "hkl", "threshold", "mask")


@pytest.mark.parametrize(("key", "box"), list(zip("riwcxobphtm", BOXES, strict=True)))
def test_keys_toggle(page, key, box):
    was_on = page.locator(f"#{box}").is_checked()
    page.focus("#view")
    page.keyboard.press(key)
    assert page.locator(f"#{box}").is_checked() != was_on
    page.keyboard.press(key)
    assert page.locator(f"#{box}").is_checked() == was_on


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("colours", "viridis"),
        ("colours", "grey"),
        ("colours", "heat"),
        ("scaling", "log"),
        ("scaling", "sqrt"),
        ("zoom", "2"),
        ("marking", "lattice"),
    ],
)
def test_choices_change_the_picture_and_back(page, control, value):
    first = page.locator(f"#{control}").input_value()
    before, _ = changes(page, lambda: page.select_option(f"#{control}", value))
    page.select_option(f"#{control}", first)
    assert shot(page) == before


def test_brightness_is_set_by_number_slider_keys_and_automatically(page):
    page.focus("#view")
    page.keyboard.press("a")
    automatic = page.locator("#high").input_value()
    for act in (
        lambda: page.fill("#high", "100"),
        lambda: (page.focus("#brightness"), page.keyboard.press("PageUp")),
        lambda: page.keyboard.press("ArrowLeft"),
        lambda: (page.focus("#view"), page.keyboard.press("]")),
        lambda: page.keyboard.press("["),
        lambda: page.fill("#low", "3"),
    ):
        changes(page, act)
    page.fill("#low", "0")
    changes(page, lambda: page.click("#auto"))
    assert page.locator("#high").input_value() == automatic


def test_stacks_add_images(page):
    shown(page, lambda: (page.fill("#stack", "2"), page.keyboard.press("Enter")))
    total = page.evaluate("window.viewer.value(0, 20, 30)")
    shown(page, lambda: page.select_option("#how", "max"))
    assert page.evaluate("window.viewer.value(0, 20, 30)") == 500 < total < 540
    shown(page, lambda: page.select_option("#how", "mean"))
    assert page.evaluate("window.viewer.value(0, 20, 30)") == total / 2
    page.select_option("#how", "sum")
    shown(page, lambda: (page.fill("#stack", "1"), page.keyboard.press("Enter")))


@pytest.mark.parametrize("control", ["kind", "projection"])
def test_counts_and_projections_can_be_chosen(page, control):
    first = page.locator(f"#{control}").input_value()
    other = {"raw": "corrected", "lab": "image"}[first]
    shown(page, lambda: page.select_option(f"#{control}", other))
    shown(page, lambda: page.select_option(f"#{control}", first))


def test_the_status_line_tells_what_is_under_the_mouse(page):
    page.mouse.move(*place(page, 20.5, 30.5))
    text = page.locator("#status").text_content()
    for part in ("x 20.5", "y 30.5", "value 500", "resolution 4.106", "lab -2.45 0.45 -10.00 mm", "hkl "):
        assert part in text
    page.mouse.move(*place(page, 0.5, 30.5))
    assert "masked" in page.locator("#status").text_content()


def test_laboratory_positions_are_corrected_for_parallax(page):
    panel = replace(viewed()[0].sets[0].panels[0], thickness=0.45, mu=4.0, parallax=True)
    lab = page.evaluate("""() => {
      const { layout } = window.viewer.state, panel = layout.set.panels[0];
      Object.assign(panel, { mu: 4, thickness: 0.45 });
      const found = layout.lab(0, 80, 60);
      panel.mu = 0;
      return found;
    }""")
    ((x, y),) = px_to_mm(np.array([[80.0, 60.0]]), panel)
    # The page takes the depth at the pixel; the exact one, at the place of entry, differs by little.
    np.testing.assert_allclose(lab, panel.origin + x * panel.fast + y * panel.slow, atol=0.01)


def test_values_are_written_on_large_pixels(page):
    page.mouse.move(*place(page, 20.5, 30.5))
    page.mouse.wheel(0, -1200)
    until(page, lambda: page.evaluate("window.viewer.view.scale") > 40)
    assert near(shot(page), (0, 48, 143), 30) > 50
    page.click("#high")
    page.focus("#view")
    changes(page, lambda: page.keyboard.press("-"))
    changes(page, lambda: page.keyboard.press("1"))
    assert page.locator("#zoom").input_value() == "1"
    changes(page, lambda: page.keyboard.press("f"))


def test_dragging_moves_the_picture(page):
    x, y = place(page, 45, 35)
    before = page.evaluate("window.viewer.view.x")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 50, y + 10, steps=3)
    page.mouse.up()
    assert page.evaluate("window.viewer.view.x") == pytest.approx(before + 50)
    page.keyboard.press("f")
    page.select_option("#zoom", "fit")


@pytest.mark.parametrize("name", ["mean", "variance", "dispersion", "sigma_b", "sigma_s", "global", "threshold"])
def test_each_stage_of_the_threshold_is_shown(page, name):
    before = shot(page)
    mode(page, name)
    after = shot(page)
    assert after != before
    assert state(page, "mode") == name
    mode(page, "image")
    assert shot(page) == before


@pytest.mark.parametrize(
    ("control", "value", "stage"),
    [
        ("sigma_background", "0.5", "sigma_b"),
        ("sigma_strong", "0.5", "sigma_s"),
        ("global_threshold", "4", "global"),
        ("gain", "3", "sigma_b"),
        ("kernel_size", "1 1", "mean"),
    ],
)
def test_each_control_of_the_threshold_acts_at_once(page, control, value, stage):
    first = page.locator(f"#{control}").input_value()
    mode(page, stage)
    before, _ = changes(page, lambda: (page.fill(f"#{control}", value), page.keyboard.press("Enter")))
    page.fill(f"#{control}", first)
    page.keyboard.press("Enter")
    assert shot(page) == before
    mode(page, "image")


def test_the_radial_profile_has_controls_of_its_own(page):
    mode(page, "threshold")
    shown(page, lambda: page.select_option("#algorithm", "radial_profile"))
    assert page.locator("#sigma_strong").is_hidden()
    assert page.locator("#modes button[value=sigma_b]").is_disabled()
    changes(page, lambda: (page.fill("#n_iqr", "1"), page.keyboard.press("Enter")))
    changes(page, lambda: page.select_option("#blur", "narrow"))
    shown(page, lambda: (page.fill("#n_bins", "3"), page.keyboard.press("Enter")))
    assert '"n_bins":3' in unquote(page.requests[-2] + page.requests[-1])
    shown(page, lambda: page.select_option("#algorithm", "dispersion"))
    shown(page, lambda: page.select_option("#algorithm", "dispersion_extended"))
    mode(page, "image")


def test_the_least_number_of_local_pixels_is_asked_for(page):
    mode(page, "sigma_b")
    shown(page, lambda: (page.fill("#min_local", "40"), page.keyboard.press("Enter")))
    assert '"min_local":40' in unquote(page.requests[-2] + page.requests[-1])
    shown(page, lambda: (page.fill("#min_local", "2"), page.keyboard.press("Enter")))
    mode(page, "image")


def test_bad_values_are_told_and_mended(page):
    mode(page, "mean")
    page.fill("#kernel_size", "no")
    page.keyboard.press("Enter")
    until(page, lambda: "kernel_size" in page.locator("#error").text_content())
    page.faults.clear()  # the browser lists the refused request
    shown(page, lambda: (page.fill("#kernel_size", "3 3"), page.keyboard.press("Enter")))
    assert page.locator("#error").text_content() == ""
    mode(page, "image")


def test_thresholds_are_saved_for_find_spots(page, folder):
    page.fill("#sigma_strong", "2.5")
    page.fill("#phil", "mine.phil")
    page.click("#save_phil")
    until(page, lambda: "mine.phil" in page.locator("#said").text_content())
    parameters = listed_parameters(Options)
    text = (folder / "mine.phil").read_text()
    params: Any = apply(Options, [(match(a.path, parameters)[0], a) for a in parse(text)])
    assert params.spotfinder.threshold.dispersion.sigma_strong == 2.5
    page.fill("#sigma_strong", "3")


def drag(page, first, last):
    page.mouse.move(*place(page, *first))
    page.mouse.down()
    page.mouse.move(*place(page, *last), steps=4)
    page.mouse.up()


def test_masks_are_drawn_undone_and_saved(page, folder):
    clean = shot(page)
    page.click("#tools button[value=rectangle]")
    drag(page, (10, 10), (20, 15))
    page.click("#tools button[value=circle]")
    drag(page, (60, 40), (60, 45))
    page.click("#tools button[value=polygon]")
    for corner in ((30, 50), (40, 50), (40, 60)):
        page.mouse.click(*place(page, *corner))
    page.mouse.dblclick(*place(page, 30, 60))
    page.click("#tools button[value=rectangle]")
    drag(page, (80, 5), (85, 8))
    assert "4 drawn" in page.locator("#drawn").text_content()
    page.click("#undo")
    assert "3 drawn" in page.locator("#drawn").text_content()
    assert near(shot(page), (179, 64, 10), 30) > 50
    page.fill("#mask_file", "mask.phil")
    page.click("#save_mask")
    until(page, lambda: "mask.phil" in page.locator("#said").text_content())
    assert "rectangle = 10 20 10 15" in (folder / "mask.phil").read_text()
    page.fill("#mask_file", "pixels.mask")
    page.click("#save_mask")
    until(page, lambda: "pixels.mask" in page.locator("#said").text_content())
    (mask,) = read_mask(folder / "pixels.mask", viewed()[0].sets[0].first.detector)
    assert not mask[10:15, 10:20].any()
    assert not mask[40, 57:63].any()
    assert not mask[52:59, 32:39].any()
    assert mask[6, 82]
    for _ in range(3):
        page.click("#undo")
    page.focus("#view")
    page.keyboard.press("Escape")
    assert page.locator("#tools button[value=pan]").get_attribute("aria-pressed") == "true"
    page.mouse.move(*place(page, 45, 35))
    until(page, lambda: near(shot(page), (179, 64, 10), 30) == near(clean, (179, 64, 10), 30))


def test_drawn_masks_survive_another_projection_but_not_another_set(page):
    page.click("#tools button[value=rectangle]")
    drag(page, (10, 10), (20, 15))
    for projection in ("image", "lab"):
        shown(page, lambda p=projection: page.select_option("#projection", p))
        assert page.locator("#drawn").text_content() == "Mask: 1 drawn"
    shown(page, lambda: page.select_option("#set", "1"))
    assert page.locator("#drawn").text_content() == "Mask: nothing drawn"
    page.click("#tools button[value=line]")
    drag(page, *turned_panel(page))
    until(page, lambda: page.locator("#drawer").is_visible())
    shown(page, lambda: page.select_option("#set", "0"))
    assert page.locator("#drawer").is_hidden()
    page.click("#tools button[value=pan]")


def turned_panel(page):
    """Two places of the picture (px) on the second panel."""
    return page.evaluate(
        "[[10, 20], [30, 20]].map(([i, j]) => {"
        "  const { corner, along, down } = window.viewer.state.layout.places[1];"
        "  return [0, 1].map((k) => corner[k] + along[k] * i + down[k] * j);"
        "})"
    )


def test_pixels_out_of_range_are_painted_as_such_whatever_their_code(page):
    """A count above 253 has a code of its own where many have, or where it is valid."""
    red, was_on = (204, 0, 89), page.locator("#mask").is_checked()
    page.set_checked("#mask", True)
    assert near(shot(page), red, 10) == 0
    valid = page.evaluate("window.viewer.state.frame.about.valid[0]")
    try:
        page.evaluate("window.viewer.state.frame.about.valid[0] = [-1, 200]; window.viewer.draw()")
        assert near(shot(page), red, 10) > 10
    finally:
        page.evaluate(f"window.viewer.state.frame.about.valid[0] = {valid}; window.viewer.draw()")
        page.set_checked("#mask", was_on)


def test_profiles_and_radial_averages_are_plotted_and_saved(page, tmp_path):
    page.click("#tools button[value=line]")
    drag(page, (15.5, 30.5), (25.5, 30.5))
    until(page, lambda: page.locator("#drawer").is_visible())
    curve = state(page, "curve")
    assert max(curve["y"]) == 500
    assert curve["x"][-1] == pytest.approx(10, abs=0.3)
    with page.expect_download() as download:
        page.click("#csv")
    download.value.save_as(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().count("\n") == len(curve["x"]) + 1
    page.click("#tools button[value=pan]")
    changes(page, lambda: page.click("#radial"))
    assert "resolution" in page.locator("#plot_title").text_content()
    assert any("radial.bin" in url and "kind=raw" in url for url in page.requests)
    page.click("#close")
    assert page.locator("#drawer").is_hidden()


def test_the_picture_is_saved_as_png(page, tmp_path):
    with page.expect_download() as download:
        page.click("#png")
    download.value.save_as(tmp_path / "a.png")
    picture = (tmp_path / "a.png").read_bytes()
    assert colours(picture).std() > 5  # something has been drawn
    assert near(picture, (10, 64, 255)) > 50


def test_other_cells_have_other_powder_rings(page):
    page.click("#powder")
    for box, text in (("cell", "4.08 4.08 4.08 90 90 90"), ("group", "P 1")):
        first = page.locator(f"#{box}").input_value()
        changes(page, lambda b=box, t=text: (page.fill(f"#{b}", t), page.keyboard.press("Enter")))
        changes(page, lambda b=box, t=first: (page.fill(f"#{b}", t), page.keyboard.press("Enter")))
    page.click("#powder")


def test_rings_are_those_that_were_chosen_last_whatever_answer_comes_last(page):
    held = []
    page.route("**/rings.bin*", lambda route: held.append(route))
    page.click("#resolution")
    until(page, lambda: len(held) == 1)
    page.click("#ice")
    until(page, lambda: len(held) == 3)
    for route in held[1:]:
        route.continue_()
    until(page, "window.viewer.state.rings.length === 2")
    with page.expect_response("**/rings.bin*"):
        held[0].continue_()
    settle(page)
    assert [kind for kind, _ in state(page, "rings")] == ["resolution", "ice"]
    page.unroute("**/rings.bin*")
    page.click("#resolution")
    page.click("#ice")


def test_letters_have_the_size_that_is_asked_for(page):
    page.click("#resolution")
    page.wait_for_timeout(300)
    changes(page, lambda: page.fill("#font", "24"))
    page.fill("#font", "12")
    page.click("#resolution")


def test_the_keys_are_explained(page):
    page.focus("#view")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.click("#keys button")
    page.click("#help")
    page.keyboard.press("Escape")
    assert page.locator("#keys").is_hidden()


def test_all_fits_on_a_small_screen(page):
    for selector in ("aside", "header", "footer"):
        assert page.locator(selector).evaluate("e => e.scrollWidth <= e.clientWidth")
        assert page.locator(selector).evaluate("e => e.scrollHeight <= e.clientHeight")
    for group in page.locator("fieldset").all():
        assert group.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_drawing_a_frame_takes_little_of_the_page(page):
    for _ in range(12):
        page.mouse.move(*place(page, 45, 35))
        page.mouse.wheel(0, -10)
        page.wait_for_timeout(30)
    assert sorted(state(page, "works"))[len(state(page, "works")) // 2] < 8
    page.focus("#view")
    page.keyboard.press("f")


def test_nothing_is_asked_of_other_sites(page):
    assert page.requests
    assert all(url.startswith((page.address, "data:", "blob:")) for url in page.requests)


def test_sets_of_stills_and_of_fractions_are_shown(page):
    shown(page, lambda: page.select_option("#set", "1"))
    assert page.locator("#name").text_content() == "stills_####.cbf"
    assert page.evaluate("window.viewer.value(0, 20, 30)") == 2.25
    assert page.evaluate("window.viewer.value(0, 6, 5)") is None
    page.mouse.move(*place(page, 20.5, 30.5))
    text = page.locator("#status").text_content()
    assert "value 2.25" in text
    assert "panel 0" in text
    assert "hkl" not in text
    changes(page, lambda: page.click("#resolution"))
    page.click("#resolution")
    shown(page, lambda: page.select_option("#set", "0"))
    assert page.evaluate("window.viewer.value(0, 20, 30)") == 500


def test_shoeboxes_follow_a_turned_panel_in_the_colour_of_their_experiment(page):
    shown(page, lambda: page.select_option("#set", "1"))
    shown(page, lambda: (page.fill("#number", "1"), page.keyboard.press("Enter")))
    for box in ("observed", "predicted"):
        page.click(f"#{box}")
    page.select_option("#marking", "lattice")
    picture = colours(shot(page))
    orange = page.evaluate("[...document.querySelectorAll('#lattices i')].map((e) => e.style.background)")
    assert orange[0] == "rgb(95, 107, 120)"
    ys, xs = np.nonzero(np.abs(picture - (11, 87, 208)).max(axis=2) < 30)  # of the second experiment
    assert len(xs) > 200
    at = page.evaluate(
        f"{np.column_stack([xs + 0.5, ys + 0.5]).tolist()}"
        ".map((q) => window.viewer.state.layout.on(1, ...window.viewer.view.place(...q)))"
    )
    i, j = np.array(at).T
    apart = 2.5 / page.evaluate("window.viewer.view.scale")
    edge = np.minimum.reduce([abs(i - 10), abs(i - 30), abs(j - 12), abs(j - 22)])
    assert (edge < apart).mean() > 0.98
    assert i.min() == pytest.approx(10, abs=apart)
    assert i.max() == pytest.approx(30, abs=apart)
    assert j.max() - j.min() == pytest.approx(10, abs=2 * apart)
    page.select_option("#marking", "kind")
    for box in ("observed", "predicted"):
        page.click(f"#{box}")
    shown(page, lambda: page.select_option("#set", "0"))


def test_words_are_readable_against_what_is_behind_them(page):
    """WCAG 2.1, success criterion 1.4.3: a contrast of at least 4.5."""
    page.click("#help")
    found = pale_texts(page)
    page.keyboard.press("Escape")
    assert found == []


def test_colours_of_lines_with_words_are_readable_on_white():
    text = (files("puredials.viewer") / "static" / "overlay.js").read_text()
    found = set(re.findall(r"#[0-9a-f]{6}", text))
    assert len(found) > 6
    for colour in found:
        rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) > 4.5, colour


def test_a_large_screen_has_large_letters_and_nothing_cut_off(page):
    page.set_viewport_size({"width": 3840, "height": 2160})
    try:
        until(page, "document.getElementById('image').width > 2000")
        settle(page)
        assert page.locator("label").first.evaluate("e => parseFloat(getComputedStyle(e).fontSize)") >= 22
        for group in page.locator("fieldset, header, footer").all():
            assert group.evaluate("e => e.scrollWidth <= e.clientWidth")
        x, y = page.evaluate("window.viewer.state.layout.extent().map(([a, b]) => (b - a) * window.viewer.view.scale)")
        height = page.locator("#view").bounding_box()["height"]
        assert y > 0.9 * height
        assert x > y
    finally:
        page.set_viewport_size({"width": 1280, "height": 800})
        settle(page)


def test_every_control_is_reached_by_the_tab_key_and_seen_to_be(page):
    assert beyond_tab(page) == ([], [])


def test_clear_all_leaves_no_toggle(page):
    page.click("#clear")
    assert page.locator(".checks input:checked").count() == 0


def test_every_control_has_been_used(page, request):
    when_all_have_run(request)
    assert page.locator("input, select, button").count() > 70
    assert untouched(page) == []
