"""HTML pages: self-contained, escaped, with every figure and table."""

import json
from pathlib import Path

import numpy as np
from plotly.offline import get_plotlyjs

from puredials.report import Section, figure, plain, write_json, write_page


def test_page_holds_prose_tables_and_figures_without_network_requests(tmp_path: Path):
    plot = figure([{"x": np.arange(3), "y": np.array([1.0, np.nan, 2.0])}], x="d (Å)", y="I")
    write_page(tmp_path / "a.html", "A page", [Section("Plot", "See.", plot), Section("T", header=["n"], rows=[[12]])])
    text = (tmp_path / "a.html").read_text()
    assert "<h2>Plot</h2>" in text
    assert "<td>12</td>" in text
    assert '"y": [1.0, null, 2.0]' in text
    markup = text.replace(get_plotlyjs(), "")
    assert "http" not in markup


def test_names_from_files_cannot_become_code(tmp_path: Path):
    evil = "</script><script>alert(1)</script>"
    plot = figure([{"name": evil, "x": [1], "y": [1]}], x="x", y="y")
    write_page(tmp_path / "a.html", evil, [Section(evil, evil, plot, ["h"], [[evil]])])
    assert "<script>alert" not in (tmp_path / "a.html").read_text()


def test_a_page_without_plots_stays_small(tmp_path: Path):
    write_page(tmp_path / "a.html", "T", [Section("S", log="text")])
    assert (tmp_path / "a.html").stat().st_size < 10_000


def test_json_has_no_numpy_and_no_infinities(tmp_path: Path):
    write_json(tmp_path / "a.json", {"a": np.array([np.inf, 1]), "b": (np.float64(2), np.int32(3))})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, 1.0], "b": [2.0, 3]}
    assert plain({1: None}) == {"1": None}
