"""From a tree of parameter models to a flat list of parameters, and from name=value definitions to a model."""

import difflib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from puredials.cli.phil import Assignment, format_block
from puredials.cli.values import describe, from_text, item_type, members, repeats, to_text, type_name
from puredials.errors import ParameterError
from puredials.params import Params

__all__ = ["Parameter", "apply", "changed", "changed_words", "listed_parameters", "listing", "match"]


@dataclass(frozen=True)
class Parameter:
    """A parameter as its model declares it.

    `path` is its full name; `group` the path of the repeatable group that it belongs to, or "".
    """

    path: str
    type: Any
    default: Any
    help: str = ""
    unit: str = ""
    expert: int = 0
    limits: dict[str, Any] = field(default_factory=dict[str, Any])
    group: str = ""

    @property
    def multiple(self) -> bool:
        """True if each further definition adds a value."""
        return repeats(self.type)

    @property
    def levels(self) -> int:
        return self.path.count(".")

    @property
    def requirement(self) -> str:
        return describe(item_type(self.type) if self.multiple else self.type, self.limits, self.unit)

    def text(self, value: Any) -> str:
        """A value (of a parameter that repeats: one of its values) in phil syntax."""
        if value is None and "auto" in self.help.lower():
            return "Auto"
        return to_text(value, item_type(self.type) if self.multiple and value is not None else self.type)


def listed_parameters(options: type[Params] | Any) -> tuple[Parameter, ...]:
    """All parameters of a model, or of a program, in the order of declaration."""
    model = options if isinstance(options, type) else options.options
    return tuple(_walk(model(), "", ""))


def _walk(scope: Params, prefix: str, group: str) -> Iterator[Parameter]:
    for name, info in type(scope).model_fields.items():
        path = prefix + (info.alias or name)
        value = getattr(scope, name)
        nested = value if isinstance(value, Params) else _optional_scope(info)
        member = _group_type(info)
        if nested is not None:
            yield from _walk(nested, path + ".", group)
        elif member is not None:
            yield from _walk(member(), path + ".", path)
        else:
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            yield Parameter(
                path,
                info.annotation,
                value,
                info.description or "",
                str(extra.get("unit", "")),
                int(str(extra.get("expert", 0))),
                _limits(info),
                group,
            )


def _optional_scope(info: FieldInfo) -> Params | None:
    for member in (info.annotation, *get_args(info.annotation)):
        if isinstance(member, type) and issubclass(member, Params) and _group_type(info) is None:
            return member()
    return None


def _group_type(info: FieldInfo) -> type[Params] | None:
    """The model of a repeatable group: a field of type ``tuple[Model, ...]``."""
    items = get_args(info.annotation)
    is_group = len(items) == 2 and items[1] is Ellipsis and isinstance(items[0], type) and issubclass(items[0], Params)
    return items[0] if is_group else None


def _limits(info: FieldInfo) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "multiple_of", "min_length")
    return {n: getattr(m, n) for m in info.metadata for n in names if getattr(m, n, None) is not None}


def match(word: str, parameters: Sequence[Parameter], substrings: bool = True) -> tuple[Parameter, str]:
    """The parameter that a name means, and a sentence for the log if others could have been meant.

    A name matches a path exactly, else as a suffix at a dot, else as any part of it. Of several matches of the same
    kind the one with fewest levels wins; a tie is an error.
    """
    tests = [lambda path: path == word, lambda path: path.endswith("." + word)]
    if substrings:
        tests += [lambda path: word in path]
    for test in tests:
        found = [p for p in parameters if test(p.path)]
        fewest = min((p.levels for p in found), default=0)
        best = [p for p in found if p.levels == fewest]
        if len(best) > 1:
            raise ParameterError(f"{word} is ambiguous: write one of {_listed([p.path for p in best], 'or')}.")
        if best:
            others = [p.path for p in found if p is not best[0]]
            note = (
                f"{word} is taken to be {best[0].path}; it could have been {_listed(others, 'or')}." if others else ""
            )
            return best[0], note
    raise ParameterError(f"{word} is not a parameter.{_nearest(word, parameters)}")


def _nearest(word: str, parameters: Sequence[Parameter]) -> str:
    by_name: dict[str, list[str]] = {}
    for p in parameters:
        parts = p.path.split(".")
        for depth in range(1, len(parts) + 1):
            by_name.setdefault(".".join(parts[-depth:]), []).append(p.path)
    close = difflib.get_close_matches(word, by_name, n=4, cutoff=0.6)
    paths = list(dict.fromkeys(path for name in close for path in by_name[name]))[:4]
    return f" The nearest are {_listed(paths)}." if len(paths) > 1 else f" The nearest is {paths[0]}." if paths else ""


def _listed(names: Sequence[str], word: str = "and") -> str:
    *most, last = names if len(names) < 12 else [*names[:10], f"{len(names) - 10} more"]
    return f"{', '.join(most)} {word} {last}" if most else last


def apply(options: type[Params], assignments: Iterable[tuple[Parameter, Assignment]]) -> Params:
    """The model with definitions applied in order, each checked by its type and range."""
    tree: dict[str, Any] = {}
    open_groups: dict[str, tuple[Any, dict[str, Any]]] = {}
    for parameter, assignment in assignments:
        value = _value(parameter, assignment)
        branch, path = tree, parameter.path
        if parameter.group:
            branch = _group_member(tree, parameter, assignment, open_groups)
            path = path.removeprefix(parameter.group + ".")
        *scopes, name = path.split(".")
        for scope in scopes:
            branch = branch.setdefault(scope, {})
        if parameter.multiple and value is not None:
            branch[name] = (*(branch.get(name) or ()), *value)
        else:
            branch[name] = value
    return _build(options(), tree, "")


def _group_member(
    tree: dict[str, Any],
    parameter: Parameter,
    assignment: Assignment,
    open_groups: dict[str, tuple[Any, dict[str, Any]]],
) -> dict[str, Any]:
    """The group that a definition belongs to: a new one for each block and, outside blocks, when a name comes again."""
    group = parameter.group
    block = next((b for b in assignment.blocks if b[0] == group), None)
    key, member = open_groups.get(group, (object(), {}))
    rest = parameter.path.removeprefix(group + ".")
    seen = member
    for part in rest.split("."):
        seen = seen.get(part) if isinstance(seen, dict) else None
    if key != block or (block is None and seen is not None and not parameter.multiple):
        member = {}
        *scopes, name = group.split(".")
        branch = tree
        for scope in scopes:
            branch = branch.setdefault(scope, {})
        branch.setdefault(name, []).append(member)
        open_groups[group] = (block, member)
    return member


def _value(parameter: Parameter, assignment: Assignment) -> Any:
    try:
        if parameter.multiple and assignment.text.strip().lower() not in ("none", "auto"):
            item = item_type(parameter.type)
            if item is str:
                return from_text(assignment.text, tuple[str, ...])
            return (from_text(assignment.text, item),)
        if parameter.multiple:
            return None if type(None) in members(parameter.type) else ()
        return from_text(assignment.text, parameter.type)
    except (ValueError, OverflowError):
        raise ParameterError(_invalid(parameter.path, parameter.requirement, assignment.text)) from None


def _invalid(path: str, requirement: str, text: str) -> str:
    return f"{path} must be {requirement}; {text or 'nothing'} was given."


def _build(scope: Params, tree: dict[str, Any], prefix: str) -> Params:
    """A copy of a model with the values of a tree, validated; what neither sets is not set in the copy, either."""
    names = {info.alias or name: name for name, info in type(scope).model_fields.items()}
    values = {shown: getattr(scope, name) for shown, name in names.items() if name in scope.model_fields_set}
    for shown, value in tree.items():
        info = type(scope).model_fields[names[shown]]
        path = f"{prefix}{shown}"
        member = _group_type(info)
        if isinstance(value, list) and member is not None:
            values[shown] = tuple(_build(member(), item, path + ".") for item in value)
        elif isinstance(value, dict):
            own = getattr(scope, names[shown])
            nested = own if isinstance(own, Params) else _optional_scope(info)
            assert nested is not None
            values[shown] = _build(nested, value, path + ".")
        else:
            values[shown] = value
    try:
        return type(scope).model_validate(values)
    except ValidationError as error:
        raise ParameterError(_sentence(error, scope, values, prefix)) from None


def _sentence(error: ValidationError, scope: Params, values: dict[str, Any], prefix: str) -> str:
    problem = error.errors(include_url=False)[0]
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message if message.endswith(".") else f"{message}."
    name = str(problem["loc"][0])
    parameters = [p for p in _walk(scope, prefix, "") if p.path == prefix + name]
    if parameters and problem["type"] != "value_error":
        return _invalid(parameters[0].path, parameters[0].requirement, to_text(values.get(name)))
    return f"{prefix}{name}: {message}."


def changed(params: Params) -> str:
    """The parameters that differ from their defaults, in phil syntax."""
    return format_block(_differences(params, type(params)(), ""))


def changed_words(scope: Params, prefix: str) -> list[str]:
    """The parameters of a scope that differ from their defaults, as words name=value for another program."""
    return [f"{path}={texts[0]}" for path, texts in _differences(scope, type(scope)(), f"{prefix}.")]


def _differences(scope: Params, default: Params, prefix: str) -> list[tuple[str, list[str]]]:
    lines: list[tuple[str, list[str]]] = []
    for name, info in type(scope).model_fields.items():
        value, before = getattr(scope, name), getattr(default, name)
        if isinstance(value, Params) and isinstance(before, Params):
            lines += _differences(value, before, f"{prefix}{info.alias or name}.")
        elif value != before:
            lines += _flat_field(scope, name, info, prefix)
    return lines


def _flat(scope: Params, prefix: str) -> list[tuple[str, list[str]]]:
    """(path, [text]) for all values of a model, in order; a path ending in {. opens a repeated group."""
    fields = type(scope).model_fields.items()
    return [line for name, info in fields for line in _flat_field(scope, name, info, prefix)]


def _flat_field(scope: Params, name: str, info: FieldInfo, prefix: str) -> list[tuple[str, list[str]]]:
    path = prefix + (info.alias or name)
    value = getattr(scope, name)
    member = _group_type(info)
    if isinstance(value, Params):
        return _flat(value, path + ".")
    if member is not None and not value:  # "!" shows what a group would hold, but does not make one
        return _flat(member(), f"{prefix}!{info.alias or name}.")
    if member is not None:
        return [line for item in value for line in [(path + ".{", []), *_flat(item, path + ".")]]
    if _optional_scope(info) is not None:
        return []
    parameter = Parameter(path, info.annotation, value, info.description or "")
    items = (value or [None]) if parameter.multiple else [value]
    return [(path, [parameter.text(item)]) for item in items]


def listing(params: Params, expert: int = 0, attributes: int = 0) -> str:
    """All parameters up to an expert level with their values, in phil syntax that can be read again.

    `attributes`: 1 adds the help, 2 the type, limits, unit and expert level as well.
    """
    shown = {p.path: p for p in listed_parameters(type(params)) if p.expert <= expert}
    lines: list[tuple[str, list[str]]] = []
    for path, texts in _flat(params, ""):
        parameter = shown.get(path.replace("!", ""))
        if path.endswith("{"):
            lines += [(path, texts)] if any(p.startswith(path[:-1]) for p in shown) else []
        elif parameter is not None:
            lines.append((path, [*texts, *_attributes(parameter, attributes)]))
    return format_block(lines)


def _attributes(parameter: Parameter, level: int) -> list[str]:
    lines: list[str] = []
    if level >= 1 and parameter.help:
        first, *rest = textwrap.wrap(parameter.help.replace('"', "'"), 70)
        lines += [f'.help = "{first}"', *(f'        "{more}"' for more in rest)]
    if level >= 2:
        lines.append(f".type = {type_name(parameter.type)}")
        lines += [f".{name} = {value:g}" for name, value in parameter.limits.items()]
        lines += [f'.unit = "{parameter.unit}"'] if parameter.unit else []
        lines += [".multiple = True"] if parameter.multiple or parameter.group else []
        lines += [f".expert_level = {parameter.expert}"] if parameter.expert else []
    return lines
