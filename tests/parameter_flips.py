"""For tests that set every listed parameter of a program to another value."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from puredials.cli.params import Parameter, apply, listed_parameters, match
from puredials.cli.phil import Assignment
from puredials.cli.program import Program
from puredials.cli.values import choices, from_text, item_type, members

__all__ = ["another_text", "options", "without_effect"]


def options(program: Program, words: Sequence[str]) -> Any:
    """The options of a program with the definitions ``name=value``."""
    parameters = listed_parameters(program)
    given = [word.split("=", 1) for word in words]
    return apply(program.options, [(match(path, parameters)[0], Assignment(path, text, "")) for path, text in given])


def without_effect(
    program: Program,
    outcome: Callable[[Any], Any],
    contexts: Mapping[str, tuple[list[str], str | None]],
    *,
    usual: Sequence[str] = (),
    skip: Container[str] = (),
) -> list[str]:
    """The listed parameters whose other value leaves the outcome of a run as it was, but for those of files.

    Args:
        outcome: of a run with these options: anything to compare.
        contexts: for parameters that need them: words given to both runs, and another value than any.
        usual: words given to both runs of all other parameters.
        skip: paths of parameters that are tested elsewhere.
    """
    runs: dict[str, Any] = {}
    unchanged = []
    for parameter in listed_parameters(program):
        path = parameter.path
        if path.startswith(("input.", "output.")) or path in skip:
            continue
        words, text = contexts.get(path, (usual, None))
        key = " ".join(words)
        if key not in runs:
            runs[key] = outcome(options(program, words))
        if outcome(options(program, [*words, f"{path}={text or another_text(parameter)}"])) == runs[key]:
            unchanged.append(path)
    return unchanged


def another_text(parameter: Parameter) -> str:
    """The text of a valid value other than the default, as one would type it after ``name=``."""
    kind = item_type(parameter.type) if parameter.multiple else parameter.type
    for text in _texts(kind, parameter.default, parameter.limits):
        value = from_text(text, kind)
        default = parameter.default
        if parameter.multiple:
            value, default = (value,), tuple(default or ())
        if value != default and _within(value, parameter.limits):
            return text
    raise AssertionError(f"no other value of {parameter.path} is known to this test")


def _texts(kind: Any, default: Any, limits: dict[str, Any]) -> list[str]:
    last = ["None"] if type(None) in members(kind) else []
    if options := choices(kind):
        return [str(c) for c in options] + last
    texts: list[str] = []
    for member in members(kind):
        items = get_args(member)
        if get_origin(member) is Literal:
            texts += [str(c) for c in items]
        elif get_origin(member) is tuple:
            each = items[0] if items[1:] == (Ellipsis,) else None
            kinds = [each, each] if each else items
            for shift in (1, 2):
                each_text = [
                    str(n + shift) if k in (int, float) else _texts(k, None, {})[0] for n, k in enumerate(kinds)
                ]
                texts.append(",".join(each_text))
        elif member is bool:
            texts += ["false", "true"]
        elif member in (int, float):
            start = default if isinstance(default, int | float) and not isinstance(default, bool) else 1
            low, high = limits.get("ge", limits.get("gt", 0)), limits.get("le", limits.get("lt"))
            numbers = [
                start + 1,
                start * 2,
                start / 2,
                start - 1,
                low,
                low + 1,
                high,
                ((high or 2) + low) / 2,
                0.5,
                2,
                1,
            ]
            texts += [f"{member(n):.12g}" for n in numbers if n is not None]
        elif member is str:
            texts.append("another")
    return texts + last


def _within(value: Any, limits: dict[str, Any]) -> bool:
    values = [v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, int | float)]
    return all(
        v >= limits.get("ge", v)
        and v <= limits.get("le", v)
        and v > limits.get("gt", v - 1)
        and v < limits.get("lt", v + 1)
        for v in values
    )
