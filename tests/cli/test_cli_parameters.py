"""Words and files of parameters -> models."""

import contextlib
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parameter_flips import another_text
from puredials.cli.params import apply, changed, listed_parameters, listing, match
from puredials.cli.phil import Assignment, parse
from puredials.cli.values import from_text, to_text
from puredials.errors import ParameterError
from puredials.params import Params, param


class Ice(Params):
    d_min: float = param(1.5, "High limit")


class Filter(Params):
    d_min: float | None = param(None, "High resolution limit", unit="Angstrom", ge=0)
    min_spot_size: int | None = param(None, "Least size. Auto: by the detector", ge=1)
    ice: Ice = Ice()


class Region(Params):
    x: float = param(0.0, "x")
    name: str = param("a", "name")


class Spots(Params):
    filter: Filter = Filter()
    algorithm: Literal["dispersion", "dispersion_extended"] = param("dispersion_extended", "How", expert=1)
    joint_indexing: bool = param(True, "Together")
    scan_range: tuple[tuple[int, int], ...] = param((), "Images", expert=2)
    unit_cell: tuple[float, float, float, float, float, float] | None = param(None, "The cell")
    weights: tuple[float, ...] = param((1.0, 2.0), "Weights")
    region: tuple[Region, ...] = ()
    absorption: Literal["low", "high"] | None = param(None, "How much")
    parts: tuple[Literal["a", "b", "c"], ...] = param(("a",), "Which parts")


class Options(Params):
    spotfinder: Spots = Spots()
    nproc: int | None = param(None, "Workers. Auto: all processors", ge=1)
    title: str | None = param(None, "A text")


PARAMETERS = listed_parameters(Options)


def read(text: str) -> Options:
    model = apply(Options, [(match(a.path, PARAMETERS)[0], a) for a in parse(text)])
    assert isinstance(model, Options)
    return model


def word(name: str, value: str) -> Options:
    parameter, _ = match(name, PARAMETERS)
    model = apply(Options, [(parameter, Assignment(name, value, ""))])
    assert isinstance(model, Options)
    return model


def test_a_full_path_is_matched_exactly():
    assert match("nproc", PARAMETERS)[0].path == "nproc"
    assert match("spotfinder.filter.d_min", PARAMETERS) == (PARAMETERS[0], "")


def test_a_suffix_wins_over_a_substring_and_fewest_levels_win_with_a_note():
    parameter, note = match("d_min", PARAMETERS)
    assert parameter.path == "spotfinder.filter.d_min"
    assert "spotfinder.filter.ice.d_min" in note
    assert match("ice.d_min", PARAMETERS)[0].path == "spotfinder.filter.ice.d_min"


def test_a_substring_is_enough():
    assert match("joint", PARAMETERS)[0].path == "spotfinder.joint_indexing"


def test_a_tie_names_the_candidates():
    with pytest.raises(ParameterError, match=r"ambiguous: write one of \S*d_min or \S*min_spot_size\."):
        match("filter", PARAMETERS)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ParameterError, match=r"dmin is not a parameter. The nearest"):
        match("dmin", PARAMETERS)
    with pytest.raises(ParameterError, match=r"^quux is not a parameter\.$"):
        match("quux", PARAMETERS)


def test_parameter_files_do_not_match_substrings():
    with pytest.raises(ParameterError, match="not a parameter"):
        match("joint", PARAMETERS, substrings=False)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("d_min", "1.5", 1.5),
        ("d_min", "None", None),
        ("d_min", "Auto", None),
        ("algorithm", "dispersion", "dispersion"),
        ("algorithm", "Dispersion_Extended", "dispersion_extended"),
        ("algorithm", "*dispersion dispersion_extended", "dispersion"),
        ("joint", "no", False),
        ("joint", "On", True),
        ("scan_range", "1,450", ((1, 450),)),
        ("scan_range", "1 450", ((1, 450),)),
        ("scan_range", "(1, 450)", ((1, 450),)),
        ("unit_cell", "78,78,78,90,90,90", (78, 78, 78, 90, 90, 90)),
        ("weights", "3", (3.0,)),
        ("weights", "None", ()),
        ("absorption", "None", None),
        ("absorption", "high", "high"),
        ("parts", "b,c", ("b", "c")),
        ("parts", "a+c", ("a", "c")),
        ("parts", "a *b *c", ("b", "c")),
    ],
)
def test_values_are_understood(name, text, value):
    assert getattr(word(name, text).spotfinder, name, None) == value or value in (
        word(name, text).spotfinder.filter.d_min,
        word(name, text).spotfinder.joint_indexing,
    )


@pytest.mark.parametrize(("text", "value"), [("a b", "a b"), ('"a b"', "a b"), ("'x'", "x"), ("None", None)])
def test_texts_may_be_quoted(text, value):
    assert word("title", text).title == value


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("d_min", "abc", "spotfinder.filter.d_min must be a number >= 0 (Angstrom) or None; abc was given."),
        ("d_min", "-1", "must be a number >= 0"),
        ("d_min", "nan", "must be a number"),
        ("nproc", "1.5", "must be a whole number >= 1 or None"),
        ("nproc", "0", "nproc must be a whole number >= 1 or None; 0 was given."),
        ("nproc", "inf", "whole number"),
        ("joint", "maybe", "true or false"),
        ("joint", "None", "true or false"),
        ("algorithm", "magic", "one of dispersion, dispersion_extended; magic was given"),
        ("scan_range", "1", "2 whole numbers"),
        ("unit_cell", "1,2,3", "6 numbers or None"),
        ("unit_cell", "", "nothing was given"),
        ("parts", "a+d", "some of a, b, c"),
    ],
)
def test_invalid_values_name_the_parameter_its_kind_and_what_was_given(name, text, sentence):
    with pytest.raises(ParameterError) as error:
        word(name, text)
    assert sentence in str(error.value)


def test_repeated_definitions_add_up():
    assert read("scan_range = 1 10; scan_range = 20 30").spotfinder.scan_range == ((1, 10), (20, 30))


def test_the_last_definition_of_a_single_value_counts():
    assert read("weights = 1\nweights = 5 6").spotfinder.weights == (5, 6)


def test_each_block_of_a_repeatable_scope_is_a_group():
    regions = read("spotfinder { region { x = 1\n name = b }\n region { name = c } }").spotfinder.region
    assert regions == (Region(x=1, name="b"), Region(name="c"))


def test_words_fill_a_group_until_a_name_comes_again():
    regions = read("region.x = 1\nregion.name = b\nregion.x = 2").spotfinder.region
    assert regions == (Region(x=1, name="b"), Region(x=2))


def test_phil_syntax():
    text = """
    # a comment
    spotfinder
      .help = "attributes are"
              "passed over" {
      filter { d_min = 2 ; min_spot_size = 4 }   # another
      filter.ice.d_min = \\
         3
      algorithm = *dispersion dispersion_extended
        .type = choice
      !joint_indexing = False
    }
    title = "two"
            "lines # not a comment"
    """
    options = read(text)
    assert options.spotfinder.filter == Filter(d_min=2, min_spot_size=4, ice=Ice(d_min=3))
    assert options.spotfinder.algorithm == "dispersion"
    assert options.spotfinder.joint_indexing
    assert options.title == "two lines # not a comment"


@pytest.mark.parametrize("text", ["a", "a {", "a = 1 }", "= 3", "a { b", "{", '"x" = 3'])
def test_broken_phil_is_refused_with_a_sentence(text):
    with pytest.raises(ParameterError, match="phil"):
        parse(text)


def test_the_listing_can_be_read_again():
    options = read(
        "d_min = 1.5; scan_range = 1 2; scan_range = 3 4; region.x = 3; region.x = 4; title = 'a \"b\" \\\\'"
    )
    for attributes in range(3):
        assert read(listing(options, 9, attributes)) == options
        assert read(listing(Options(), 9, attributes)) == Options()
    assert read(changed(options)) == options


def test_the_listing_hides_expert_parameters():
    assert "algorithm" not in listing(Options())
    assert "algorithm = dispersion *dispersion_extended" in listing(Options(), expert=1)
    assert "nproc = Auto" in listing(Options())
    assert '.help = "High limit"' in listing(Options(), attributes=1)


def test_only_what_differs_is_called_changed():
    assert changed(Options()) == ""
    assert changed(read("nproc = Auto\nd_min = 2")) == "spotfinder {\n  filter {\n    d_min = 2.0\n  }\n}"


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.path)
def test_every_parameter_can_be_set_to_another_value(parameter):
    assert word(parameter.path, another_text(parameter)) != Options()


@given(st.floats(allow_nan=False))
def test_numbers_survive_being_written(value):
    assert from_text(to_text(value), float) == value


@given(
    st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1).filter(lambda s: s == s.strip())
)
def test_texts_survive_being_written(value):
    assert read(f"title = {to_text(value)}").title == value


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ParameterError):
        read(text)
