"""The page of the reciprocal lattice viewer in a headless browser: each control is used, and the picture looked at."""

import base64
import io
import threading
from dataclasses import replace

import numpy as np
import pytest
from lattice_set import CELL, lattice_data, lattice_view

from browser import beyond_tab, opened, pale_texts, settle, until, untouched, when_all_have_run
from puredials.io.expt import read_experiments
from puredials.model import Experiments
from puredials.viewer import LATTICE_STATIC, LatticeView, ViewerServer

NAME = "<img src=x onerror=alert(1)>_####.cbf"


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    return lattice_view(tmp_path_factory.mktemp("lattice_page"), NAME)


@pytest.fixture(scope="module")
def page(view):
    with opened(view, LATTICE_STATIC) as page:
        until(page, "window.viewer && viewer.state.ready > 0")
        yield page


def shot(page):
    """What is drawn, without the frame around it that shows where the keys go."""
    settle(page)
    return page.evaluate("viewer.picture().toDataURL()")


def counted(page):
    """Numbers of the points that pass the filters."""
    return np.array(
        page.evaluate("(() => { const found = []; viewer.shown((n) => found.push(n)); return found; })()"), int
    )


@pytest.fixture(autouse=True)
def at_rest(page):
    """Each test begins with the view down the beam, and leaves no fault."""
    page.mouse.move(5, 5)
    page.focus("#view")
    page.keyboard.press("z")
    page.keyboard.press("0")
    page.evaluate("viewer.state.label = null")
    settle(page)
    yield
    assert page.faults == []
    assert all(request.startswith((page.address, "blob:", "data:")) for request in page.requests)


def test_names_are_text(page):
    assert page.locator("#name").text_content() == NAME
    assert page.locator("#error").text_content() == ""


def test_the_page_places_points_as_numpy_does(page, view):
    numbers = [0, 10, 60, 200, len(view.points.row) - 1]
    found = page.evaluate(f"{numbers}.map((n) => viewer.rlp(n))")
    np.testing.assert_allclose(found, view.rlp()[numbers], atol=1e-6)


def point_on_screen(page, n):
    """Where a point is in the window."""
    box = page.locator("#view").bounding_box()
    seen = page.evaluate(
        f"(() => {{ const at = viewer.rlp({n}), v = viewer.look.view, s = viewer.look.scale, p = viewer.look.pan;"
        " const on = (k) => v[3 * k] * at[0] + v[3 * k + 1] * at[1] + v[3 * k + 2] * at[2];"
        " return [on(0) * s + p[0], on(1) * s + p[1]]; })()"
    )
    return box["x"] + box["width"] / 2 + seen[0], box["y"] + box["height"] / 2 - seen[1]


@pytest.mark.parametrize("n", [7, 300, -20])
def test_the_nearest_point_is_found_and_labelled(page, view, n):
    n %= len(view.points.row)
    page.evaluate(
        f"(() => {{ const at = viewer.rlp({n}), v = viewer.look.view, s = (viewer.look.scale *= 12);"
        " viewer.look.pan = [0, 1].map((k) => -s * (v[3 * k] * at[0] + v[3 * k + 1] * at[1] + v[3 * k + 2] * at[2]));"
        " })()"
    )
    page.mouse.move(*point_on_screen(page, n))
    until(page, "viewer.state.label")
    label = page.evaluate("viewer.state.label")
    found = view.rlp()[label["n"]]
    screen = np.array(page.evaluate("viewer.look.view")).reshape(3, 3)[:2]
    off = screen @ (found - view.rlp()[n]) * page.evaluate("viewer.look.scale")
    assert np.hypot(*off) < 3  # px; others may lie in front of it
    row = view.points.row[label["n"]]
    text = page.locator("#status").text_content()
    hkl = view.reflections["miller_index"][row]
    assert (f"hkl {' '.join(map(str, hkl))}" if hkl.any() else "not indexed") in text
    assert f"d {1 / np.linalg.norm(found):.3f} Å" in text
    assert f"image {int(view.reflections['xyzobs.px.value'][row, 2]) + 1}" in text


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_looking_down_an_axis_puts_it_towards_the_eye(page, view, key):
    page.keyboard.press(key)
    towards = np.array(page.evaluate("viewer.look.view"))[6:]
    column = view.experiments[0].crystal.A[:, "abc".index(key)]
    np.testing.assert_allclose(towards, column / np.linalg.norm(column), atol=1e-9)
    by_key = shot(page)
    page.keyboard.press("z")
    page.click(f"#down_{key}")
    page.focus("#view")
    assert shot(page) == by_key


def test_keys_act_wherever_the_focus_is_but_in_texts(page):
    page.click("#down_c")
    before = page.evaluate("viewer.look.view")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("viewer.look.view") != before
    before = page.evaluate("viewer.look.view")
    page.focus("#file")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("x")
    assert page.evaluate("viewer.look.view") == before


def test_the_axis_is_looked_down(page, view):
    page.click("#down_axis")
    page.click("#down_beam")
    page.click("#fit")
    page.focus("#view")
    page.keyboard.press("x")
    goniometer = view.experiments[0].goniometer
    expected = goniometer.fixed_rotation.T @ goniometer.axis
    np.testing.assert_allclose(np.array(page.evaluate("viewer.look.view"))[6:], expected, atol=1e-9)


@pytest.mark.parametrize(
    "keys",
    ["ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Control+ArrowDown", ",", ".", "+", "-", "f", "e"],
)
def test_each_key_changes_the_picture(page, keys):
    before = shot(page)
    page.keyboard.press(keys)
    assert shot(page) != before
    if keys in ("f", "e"):
        page.keyboard.press(keys)
        assert shot(page) == before


def test_the_view_stays_a_rotation(page):
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    settle(page)
    view = np.array(page.evaluate("viewer.look.view")).reshape(3, 3)
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-9)
    told = np.array([row.split() for row in page.locator("#matrix").text_content().split("|")], float)
    np.testing.assert_allclose(told, view, atol=0.006)


def test_all_points_stay_in_sight_beside_the_projection(page, view):
    page.keyboard.press("p")
    settle(page)
    room = page.evaluate("document.getElementById('points').height - document.getElementById('drawer').offsetHeight")
    scale, (_, up) = page.evaluate("[viewer.look.scale, viewer.look.pan]")
    assert 2 * scale * view.furthest < room
    assert up == pytest.approx((page.locator("#view").bounding_box()["height"] - room) / 2, abs=1)
    page.keyboard.press("+")
    page.keyboard.press("p")
    settle(page)
    assert page.evaluate("viewer.look.pan")[1] != 0  # who has zoomed keeps the place
    page.keyboard.press("0")


def test_the_mouse_turns_moves_and_zooms(page):
    box = page.locator("#view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    start = page.evaluate("[viewer.look.view, viewer.look.pan, viewer.look.scale]")

    def drag():
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y + 30, steps=4)
        page.mouse.up()
        settle(page)
        return page.evaluate("[viewer.look.view, viewer.look.pan, viewer.look.scale]")

    turned = drag()
    assert turned[0] != start[0]
    assert turned[1:] == start[1:]
    page.keyboard.down("Shift")
    moved = drag()
    page.keyboard.up("Shift")
    assert moved[0] == turned[0]
    assert moved[1] == [60, -30]
    page.keyboard.down("Control")
    spun = drag()
    page.keyboard.up("Control")
    np.testing.assert_allclose(spun[0][6:], moved[0][6:], atol=1e-12)
    page.mouse.wheel(0, -300)
    settle(page)
    assert page.evaluate("viewer.look.scale") > start[2]


@pytest.mark.parametrize("what", ["indexed", "unindexed", "integrated"])
def test_points_are_chosen_by_status(page, view, what):
    everything = shot(page)
    page.click(f"#which button[value={what}]")
    table, rows = view.reflections, view.points.row
    indexed = (table["id"] >= 0)[rows]
    integrated = ((table["flags"] & np.uint64(0x300)) != 0)[rows]
    expected = {"indexed": indexed, "unindexed": ~indexed, "integrated": integrated}[what]
    np.testing.assert_array_equal(counted(page), np.flatnonzero(expected))
    assert shot(page) != everything
    page.click("#which button[value=all]")
    assert shot(page) == everything


@pytest.mark.parametrize("what", ["inliers", "outliers"])
def test_points_are_chosen_by_being_outliers(page, view, what):
    everything = shot(page)
    page.click(f"#outliers button[value={what}]")
    outlier = ((view.reflections["flags"] & np.uint64(1 << 17)) != 0)[view.points.row]
    np.testing.assert_array_equal(counted(page), np.flatnonzero(outlier == (what == "outliers")))
    assert shot(page) != everything
    page.click("#outliers button[value=all]")
    assert shot(page) == everything


@pytest.mark.parametrize(
    ("control", "value", "column", "keep"),
    [
        ("d_min", "4.07", None, None),
        ("z_min", "30", "z", lambda v: v >= 30),
        ("z_max", "30", "z", lambda v: v <= 30),
        ("n_min", "50", "n_signal", lambda v: v >= 50),
        ("n_max", "50", "n_signal", lambda v: v <= 50),
        ("p_min", "0.6", "partiality", lambda v: v >= 0.6),
        ("p_max", "0.6", "partiality", lambda v: v <= 0.6),
    ],
)
def test_points_are_chosen_by_range(page, view, control, value, column, keep):
    everything, before = shot(page), page.locator(f"#{control}").input_value()
    page.fill(f"#{control}", value)
    rows = view.points.row
    if column is None:
        expected = np.linalg.norm(view.rlp(), axis=1) <= 1 / 4.07
    else:
        table = view.reflections
        expected = keep((table["xyzobs.px.value"][:, 2] if column == "z" else table[column])[rows])
    assert len(np.setxor1d(counted(page), np.flatnonzero(expected))) <= 2  # at the limit, by rounding
    assert shot(page) != everything
    page.fill(f"#{control}", before)
    assert shot(page) == everything


def test_experiments_are_hidden_and_shown(page, view):
    everything = shot(page)
    buttons = page.locator("#ids button")
    assert buttons.all_text_contents() == ["-1", "0", "1"]
    for k, id_ in enumerate((-1, 0, 1)):
        buttons.nth(k).click()
        hidden = (view.reflections["id"] == id_)[view.points.row]
        np.testing.assert_array_equal(counted(page), np.flatnonzero(~hidden))
        assert shot(page) != everything
        buttons.nth(k).focus()
        page.keyboard.press("Space")  # the keys stay where they are
    page.click("#no_id")
    assert page.locator("#n_ids").text_content() == "0 of 3"
    assert len(counted(page)) == 0
    page.click("#every_id")
    assert page.locator("#n_ids").text_content() == "3 of 3"
    page.focus("#view")
    assert shot(page) == everything


@pytest.mark.parametrize("how", ["image", "status"])
def test_points_are_coloured(page, how):
    before = shot(page)
    page.select_option("#colouring", how)
    assert shot(page) != before
    page.select_option("#colouring", "experiment")
    page.focus("#view")
    assert shot(page) == before


def test_lattices_have_the_colours_of_their_crystals(page):
    page.select_option("#colouring", "lattice")
    borders = page.evaluate("[...document.querySelectorAll('#ids button')].map((b) => b.style.borderLeftColor)")
    assert len(set(borders)) == 3
    page.select_option("#colouring", "experiment")


@pytest.mark.parametrize("box", ["axis", "beam", "cell", "crystal_frame", "invert"])
def test_each_box_changes_the_picture(page, box):
    page.click("#down_c")
    page.fill("#cell_size", "8")
    before = shot(page)
    page.click(f"#{box}")
    assert shot(page) != before
    page.click(f"#{box}")
    page.fill("#cell_size", "1")


def test_ground_marker_size_and_cell_size_change_the_picture(page):
    before = shot(page)
    page.select_option("#ground", "white")
    assert shot(page) != before
    page.select_option("#ground", "black")
    for control, value in (("size", "8"), ("cell_size", "12")):
        old = page.locator(f"#{control}").input_value()
        page.fill(f"#{control}", value)
        assert shot(page) != before
        page.fill(f"#{control}", old)


def test_crystals_lie_on_each_other_in_the_crystal_frame(page, view):
    page.keyboard.press("f")
    page.keyboard.press("a")
    towards = np.array(page.evaluate("viewer.look.view"))[6:]
    column = view.experiments[0].crystal.B[:, 0]
    np.testing.assert_allclose(towards, column / np.linalg.norm(column), atol=1e-9)
    page.keyboard.press("f")


def test_points_follow_the_beam_centre_and_the_inverted_axis(page, view):
    import puredials.viewer.reciprocal_lattice as module

    before, picture = page.locator("#beam_x").input_value(), shot(page)
    page.fill("#beam_x", str(float(before) + 0.5))
    page.fill("#beam_y", str(float(page.locator("#beam_y").input_value()) - 0.25))
    page.check("#invert")
    moved = module.moved_experiments(view.experiments, 0, (0.5, -0.25), True)
    expected = module.LatticeView(moved, view.reflections).rlp()
    numbers = [0, 60, 300]
    np.testing.assert_allclose(page.evaluate(f"{numbers}.map((n) => viewer.rlp(n))"), expected[numbers], atol=2e-6)
    assert shot(page) != picture
    page.click("#reset")
    assert page.locator("#beam_x").input_value() == before
    page.focus("#view")
    assert shot(page) == picture


def test_the_beam_centre_is_told_for_each_panel(page, view):
    x = float(page.locator("#beam_x").input_value())
    page.fill("#panel", "1")
    assert float(page.locator("#beam_x").input_value()) == pytest.approx(x - 54, abs=1e-3)
    page.fill("#panel", "0")


def test_changed_geometry_is_saved(page, view):
    x = float(page.locator("#beam_x").input_value())
    page.fill("#beam_x", str(x + 1))
    page.fill("#file", "moved.expt")
    page.click("#save")
    until(page, "document.getElementById('said').textContent.includes('moved.expt')")
    saved = read_experiments(view.folder / "moved.expt")
    shift = saved[0].detector[0].origin - view.experiments[0].detector[0].origin
    np.testing.assert_allclose(shift, -view.experiments[0].detector[0].fast, atol=1e-9)
    page.click("#reset")


def test_a_name_that_is_refused_is_told(page):
    page.fill("#file", "../x.expt")
    page.click("#save")
    until(page, "document.getElementById('error').textContent.includes('A file is named')")
    page.faults[:] = [f for f in page.faults if "400" not in f]  # the browser's own line on the answer
    page.fill("#file", "x.expt")
    page.click("#save")
    until(page, "document.getElementById('error').textContent === ''")


def test_the_projection_finds_the_cell_and_sees_straight_layers(page, view):
    page.locator("#ids button").nth(0).click()
    page.locator("#ids button").nth(2).click()
    page.click("#projection")
    for axis, length in ((0, CELL[0]), (1, CELL[1]), (2, CELL[2])):
        page.select_option("#along", str(axis))
        page.fill("#longest", "90")
        until(page, f"viewer.state.found && Math.abs(viewer.state.found.period - {length}) < 0.3")
        settle(page)
        assert "Layers are straight." in page.locator("#found").text_content()
    page.check("#invert")
    page.wait_for_timeout(300)
    settle(page)
    assert "straight" not in page.locator("#found").text_content()
    page.click("#reset")
    page.select_option("#along", "up")
    settle(page)
    page.click("#projection")
    for k in (0, 2):
        page.locator("#ids button").nth(k).click()
    assert page.locator("#drawer").is_hidden()


def test_the_shape_of_a_cloud_is_no_period(page):
    """Two halves, either side of the beam, are no layers, though at a period of 2 Angstrom they seem two."""
    rng = np.random.default_rng(3)
    t = (rng.uniform(0.15, 0.4, 2000) * rng.choice([-1, 1], 2000)).round(6).tolist()
    told = page.evaluate(
        "async (t) => {"
        "  const { judgement, periodicity } = await import('./lattice_projection.js');"
        "  return judgement(periodicity(Float64Array.from(t), Float64Array.from(t.keys()), 200));"
        "}",
        t,
    )
    assert "straight" not in told


def test_what_stills_without_crystals_do_not_have_cannot_be_chosen(page):
    experiments, table = lattice_data()
    still = replace(experiments[0], goniometer=None, scan=None, crystal=None)
    own = table.select(np.asarray(table["id"]) == 0).without(["partiality"])
    view = LatticeView(Experiments((still,)), own)
    with ViewerServer(view.routes, LATTICE_STATIC) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        stills = page.context.browser.new_page()
        try:
            stills.goto(server.address)
            until(stills, "window.viewer && viewer.state.ready > 0")
            disabled = stills.eval_on_selector_all("aside input:disabled", "(all) => all.map((e) => e.id)")
            assert disabled == ["p_min", "p_max", "axis", "cell", "cell_size", "crystal_frame", "invert"]
            for key, words in (("x", "Nothing rotates here."), ("a", "There is no crystal yet: index first.")):
                stills.keyboard.press(key)
                until(stills, f"document.getElementById('said').textContent === '{words}'")
        finally:
            stills.close()
            server.shutdown()
            thread.join()


def test_the_picture_is_saved_as_png(page, tmp_path):
    image = pytest.importorskip("PIL.Image")
    with page.expect_download() as download:
        page.click("#png")
    download.value.save_as(tmp_path / "a.png")
    pixels = np.asarray(image.open(tmp_path / "a.png").convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 3


def test_the_keys_are_told(page):
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")


@pytest.mark.parametrize("ground", ["black", "white"])
def test_colours_stand_out_from_the_ground(page, ground):
    """3 : 1, what WCAG asks of graphics; 4.5 : 1 of letters."""
    image = pytest.importorskip("PIL.Image")
    page.select_option("#ground", ground)
    page.check("#beam")
    settle(page)
    data = page.evaluate("viewer.picture().toDataURL()").partition(",")[2]
    pixels = np.asarray(image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).reshape(-1, 3)
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    linear = np.where(colours / 255 <= 0.04045, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    own = int(np.argmax(counts))
    light, dark = np.maximum(luminance, luminance[own]), np.minimum(luminance, luminance[own])
    many = (counts > 100) & (np.arange(len(counts)) != own)
    assert many.sum() >= 3
    assert ((light + 0.05) / (dark + 0.05))[many].min() > 3
    page.uncheck("#beam")
    page.select_option("#ground", "black")


def test_texts_stand_out(page):
    page.locator("#ids button").nth(0).click()
    assert pale_texts(page) == []
    page.locator("#ids button").nth(0).click()
    page.click("#help")
    assert pale_texts(page) == []
    page.click("#keys button")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (3840, 2160)])
def test_the_page_fits_its_window(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    settle(page)
    for part in ("body", "aside", "header"):
        wide, room = page.eval_on_selector(part, "(e) => [e.scrollWidth, e.clientWidth]")
        assert wide <= room, part
    assert page.locator("#save").is_visible()
    pale = page.locator("aside").bounding_box()
    assert page.locator("#view").bounding_box()["width"] > 2 * pale["width"]
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_frame_takes_little_work(page):
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert page.evaluate("viewer.state.work") < 8


def lines_drawn(page):
    """What is drawn over the points."""
    settle(page)
    return page.evaluate("document.getElementById('over').toDataURL()")


def test_labels_can_be_left_out(page):
    page.mouse.move(*point_on_screen(page, 7))
    until(page, "viewer.state.label")
    labelled = lines_drawn(page)
    page.evaluate("document.getElementById('label').click()")  # where the mouse is, it stays
    without = lines_drawn(page)
    assert without != labelled
    page.focus("#view")
    page.keyboard.press("l")
    assert page.is_checked("#label")
    assert lines_drawn(page) == labelled
    page.click("#label")
    page.click("#label")


def test_every_control_is_reached_by_the_tab_key_and_seen_to_be(page):
    assert beyond_tab(page) == ([], [])


def test_no_control_is_left_unused_by_the_tests_above(page, request):
    """A control that is added without a test that uses it is found here, once all others of this file have run."""
    page.click("#help")
    page.keyboard.press("Escape")
    when_all_have_run(request)
    assert untouched(page) == []


def test_a_control_that_nothing_has_used_is_found(page):
    page.evaluate("document.body.append(Object.assign(document.createElement('button'), { id: 'new' }))")
    assert "new" in untouched(page)
    page.evaluate("document.getElementById('new').remove()")
