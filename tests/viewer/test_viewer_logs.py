"""Logs are read for their tables and for the numbers by which people judge a step."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puredials.text import text_table
from puredials.viewer.logs import blocks, concerns, findings, merging

WORD = st.text(
    st.characters(codec="ascii", categories=("L", "N", "P"), exclude_characters="|+-"), min_size=1, max_size=9
)


def said(program, text):
    return [finding.said for finding in findings(program, text) if finding.said]


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(WORD, min_size=n, max_size=n), min_size=2, max_size=6)))
def test_a_framed_table_is_read_as_it_was_written(table):
    header, *rows = table
    text = f"before\n{text_table(header, rows)}\nafter\n\nmore"
    first, found, last = blocks(text)
    assert first.lines == ("before",)
    assert list(found.header) == header
    assert [list(row) for row in found.rows] == rows
    assert last.lines == ("after", "", "more")


def test_lines_of_a_title_are_joined():
    (found,) = blocks(text_table(["Exp\nid", "RMSD_X\n(px)"], [["0", "0.2"]]))
    assert found.header == ("Exp id", "RMSD_X (px)")


def test_text_that_only_looks_like_a_table_stays_text():
    text = "+----+\n| a | b\nno end\n +--\n d_max  d_min words\nnothing"
    assert "\n".join(line for block in blocks(text) for line in block.lines) == text


SUMMARY = """
            -------------Summary of merging statistics--------------

                                          Suggested     Low    High Overall
High resolution limit                          1.65    4.47    1.65    1.64
Completeness                                   98.8   100.0    87.3    98.6
Multiplicity                                   15.9    20.1     3.2    15.7
I/sigma                                        41.6   161.0     0.8    41.1
Rmeas(I)                                      0.031   0.021   1.200   0.031
CC half                                       1.000   1.000   0.514   1.000
Anomalous slope                               1.145

Merging statistics by data set
"""


def test_the_summary_of_merging_is_a_table_by_quantity():
    _, table = merging(blocks(SUMMARY))
    assert table["Completeness"] == {"Suggested": "98.8", "Low": "100.0", "High": "87.3", "Overall": "98.6"}
    assert table["Anomalous slope"]["Overall"] == "1.145"
    assert said("dials.scale", SUMMARY) == ["to 1.64 Å", "CC½ 1.000", "Rmeas 0.031"]


INDEXED = """Unit cell: 60.0(1), 61.0(2), 62.0(3), 90.0(1), 90.0(1), 120.0(1)
RMSDs by experiment:
+-------+--------+----------+----------+------------+
|   Exp |   Nref |   RMSD_X |   RMSD_Y |     RMSD_Z |
|    id |        |     (px) |     (px) |   (images) |
|-------+--------+----------+----------+------------|
|     0 |    100 |  0.25    |  1.35    |     0.3    |
|     1 |    100 |  0.2     |  0.3     |     0.9    |
+-------+--------+----------+----------+------------+
    Unit cell: 78.1(1), 78.2(2), 78.3(3), 90.0(1), 90.1(1), 90.2(1)
+------------+-------------+---------------+-------------+
|   Imageset |   # indexed |   # unindexed | % indexed   |
|------------+-------------+---------------+-------------|
|          0 |        3000 |          1000 | 75.0%       |
|          1 |        1000 |          3000 | 25.0%       |
+------------+-------------+---------------+-------------+
"""


def test_indexing_is_judged_by_all_sets_and_the_poorest_rmsd():
    """The frames of this log are those of DIALS, which are wider than ours."""
    found = {finding.name: (finding.value, finding.note) for finding in findings("dials.index", INDEXED)}
    assert found["Indexed"] == ("50.0 %", "4,000 spots are not")
    assert found["RMSD"] == ("1.35 px", "0.90 images")
    assert found["Unit cell"] == ("78.1 78.2 78.3 Å", "90.0 90.1 90.2°")
    few, far = concerns("dials.index", INDEXED)
    assert few.startswith("Only 50 % of the 8000 spots")
    assert "more than a pixel" in far


@pytest.mark.parametrize(
    ("program", "text", "expected"),
    [
        ("dials.import", "  num images: 900\n    still:    0\n    sweep:    1\n", ["900 images", "1 sweep"]),
        ("dials.find_spots", "600 spots found on 10 images (x)\nSaving 55 reflections to s", ["55 spots, 60 an image"]),
        ("dials.find_spots", "Saved 1550 reflections to strong.refl", ["1,550 spots"]),
        ("dials.symmetry", "Laue group probability: 0.990\nRecommended space group: P 2 2 21\n", ["P 2 2 21"]),
        ("dials.estimate_resolution", "Resolution cc_half:       1.64\n", ["to 1.64 Å"]),
        ("dials.integrate", f"{text_table(['Item', 'Overall'], [['dmin', '1.53']])}\nSaving 1000 reflections to i.refl",
         ["1,000 reflections to 1.53 Å"]),
        ("dials.index", "It has only begun.", []),
        ("dials.scale", "", []),
        ("dials.of_another_name", "num images: 900", []),
    ],
)  # fmt: skip
def test_each_step_is_told_in_a_few_words(program, text, expected):
    assert said(program, text) == expected
    assert concerns(program, text) == []


def test_incomplete_data_deserve_a_look():
    assert concerns("dials.merge", SUMMARY.replace("98.6", "37.9")) == [
        "Only 38 % of the possible reflections were measured."
    ]


ENDLESS = {
    "empty lines": ("", "\n", ""),
    "rules": ("", "|----|\n", ""),
    "titles of shells": ("", " d_max  d_min \n", ""),
    "numbers in a line of a summary": (" Low Overall\n", " 1", " x"),
    "a number": (" d_max d_min \n", "1", "x 2"),
    "files": ("Saving ", "a to ", "\n"),
    "a space group": ("Space group ", ", cell 1 1", "x"),
    "a cell": ("Unit cell: ", "1", "x)("),
    "looks": ("What deserves a look:\n", " a", ""),
}


@pytest.mark.parametrize(("before", "part", "after"), ENDLESS.values(), ids=ENDLESS)
def test_the_time_that_a_log_takes_is_proportional_to_its_length(before, part, after):
    """Eight times the text may not take 64 times as long; measured in time of the processor, the least of some."""

    def taken(length):
        text = before + part * (length // len(part)) + after
        times = []
        for _ in range(3):
            begin = time.process_time()
            for program in ("dials.import", "dials.index", "dials.scale", "puredials.process"):
                findings(program, text)
                concerns(program, text)
            times.append(time.process_time() - begin)
        return min(times)

    assert taken(48_000) < 24 * taken(6_000) + 0.02


@pytest.mark.parametrize("broken", ["many", "", "1e999999"])
def test_a_log_may_hold_anything(broken):
    text = INDEXED.replace("3000", broken).replace("1.35", broken).replace("78.1", broken)
    for program in ("dials.index", "dials.refine", "dials.integrate", "dials.scale", "puredials.process"):
        assert isinstance(findings(program, text + SUMMARY), list)
        assert isinstance(concerns(program, text), list)
