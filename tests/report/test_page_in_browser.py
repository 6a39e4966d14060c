"""A report in a headless browser: plots are drawn as they come into view, and nothing else is asked for."""

import json

import pytest
from report_set import data

from browser import chromium
from puredials.report import figures_of, plain, report, write_page


@pytest.fixture(scope="module")
def sections():
    return report(*data(2000)).sections


@pytest.fixture(scope="module")
def page(sections, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "a.html"
    write_page(path, "<b>A title</b>", sections)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda r: page.faults.append(r.url) if r.url.startswith(("http", "ws")) else None)
        page.goto(path.as_uri())
        yield page
        assert page.faults == []


def test_plots_are_drawn_when_they_come_into_view(page, sections):
    plots = page.locator(".plot")
    assert plots.count() == len(figures_of(sections))
    plots.first.locator(".main-svg").first.wait_for()
    assert plots.last.locator(".main-svg").count() == 0
    plots.last.scroll_into_view_if_needed()
    plots.last.locator(".main-svg").first.wait_for()


def test_the_data_of_a_plot_are_saved_as_json(page, sections):
    with page.expect_download() as download:
        page.locator("a.data").first.click()
    first = next(s for s in sections if s.figure is not None)
    assert download.value.suggested_filename == f"{first.name}.json"
    assert json.loads(download.value.path().read_text()) == json.loads(json.dumps(plain(first.figure, 6)))


def test_the_title_is_text(page):
    assert page.locator("h1").text_content() == "<b>A title</b>"
