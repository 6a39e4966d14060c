"""The text of a parameter's value <-> the value, by the type that its model declares."""

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

__all__ = ["choices", "describe", "from_text", "item_type", "members", "repeats", "to_text", "type_name"]

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[^\s,]+')


def from_text(text: str, kind: Any) -> Any:
    """The value of type `kind` that the text stands for; ValueError if it stands for none.

    Numbers, true/false/yes/no/on/off, None and Auto, lists with commas or spaces, strings with or without quotes, and
    choices, of which a list with a star at the chosen one is understood too.
    """
    text = text.strip()
    kinds = members(kind)
    if len(kinds) == 1:
        return _from_text_single(text, kinds[0])
    picked = _pick(text, [c for m in kinds if get_origin(m) is Literal for c in get_args(m)])
    if picked is not None:
        return picked
    if text.lower() in ("none", "auto") and type(None) in kinds:
        return None
    for member in sorted(kinds, key=_eagerness):
        if member is not type(None) and get_origin(member) is not Literal:
            try:
                return _from_text_single(text, member)
            except ValueError:
                continue
    raise ValueError(text)


def _from_text_single(text: str, kind: Any) -> Any:
    origin = get_origin(kind)
    if origin is Literal:
        picked = _pick(text, list(get_args(kind)))
        if picked is None:
            raise ValueError(text)
        return picked
    if origin in (tuple, list, frozenset, set):
        return _sequence(text, kind)
    if kind is str:
        return _string(text)
    if kind is bool:
        word = _unquoted(text).lower()
        if word not in _TRUE | _FALSE:
            raise ValueError(text)
        return word in _TRUE
    if kind is int:
        number = float(_unquoted(text))
        if number != int(number):
            raise ValueError(text)
        return int(number)
    if kind is float:
        number = float(_unquoted(text))
        if number != number:
            raise ValueError(text)
        return number
    raise ValueError(text)


def _sequence(text: str, kind: Any) -> tuple[Any, ...]:
    items = get_args(kind)
    if text.lower() in ("none", "auto"):
        if items[1:] != (Ellipsis,):
            raise ValueError(text)
        return ()
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1]
    words = _WORD.findall(text)
    if items and get_origin(members(items[0])[0]) is Literal:
        starred = [w[1:] for w in words if w.startswith("*")]
        words = starred or [part for w in words for part in w.split("+")]
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(from_text(w, items[0]) for w in words)
    if len(words) != len(items):
        raise ValueError(text)
    return tuple(from_text(w, item) for w, item in zip(words, items, strict=True))


def _pick(text: str, allowed: list[Any]) -> Any:
    """The choice that the text names, or that it stars in a list of choices; None if there is none."""
    words = [_unquoted(w) for w in _WORD.findall(text)]
    starred = [w[1:] for w in words if w.startswith("*")]
    words = starred or words
    if len(words) != 1:
        return None
    for same in (str, lambda c: str(c).lower()):
        for choice in allowed:
            if same(choice) == same(words[0]):
                return choice
    return None


def _string(text: str) -> str:
    words = _WORD.findall(text)
    if words and all(w[0] in "\"'" and len(w) > 1 for w in words) and "," not in re.sub(_WORD, "", text):
        return " ".join(_unquoted(w) for w in words)
    if text.lower() in ("none", "auto"):
        raise ValueError(text)
    return text


def _unquoted(word: str) -> str:
    if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    return word


def to_text(value: Any, kind: Any = None) -> str:
    """The text that stands for a value in phil syntax; choices are listed, with a star at the chosen one."""
    allowed = choices(kind)
    if allowed and isinstance(value, tuple):
        return " ".join(f"*{c}" if c in value else str(c) for c in allowed)
    if allowed and value in allowed and all(re.fullmatch(r"[\w.+-]+", str(c)) for c in allowed):
        return " ".join(f"*{c}" if c == value else str(c) for c in allowed)
    if value is None or value == ():
        return "None"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return " ".join(to_text(v) for v in value)


def members(kind: Any) -> list[Any]:
    """The types of a union (of one type: itself), without annotations."""
    if get_origin(kind) is Annotated:
        return members(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [m for k in get_args(kind) for m in members(k)]
    return [kind]


def _eagerness(kind: Any) -> int:
    """Types that take fewer texts are tried first."""
    order = {int: 0, float: 1, bool: 2, str: 4}
    return order.get(kind, 3)


def choices(kind: Any) -> tuple[Any, ...]:
    """The choices of a parameter that is one of some words, or several of them; else nothing."""
    kinds = [m for m in members(kind) if m is not type(None)]
    if len(kinds) != 1:
        return ()
    if get_origin(kinds[0]) is Literal:
        return get_args(kinds[0])
    if get_origin(kinds[0]) is tuple and get_args(kinds[0])[1:] == (Ellipsis,):
        return choices(get_args(kinds[0])[0])
    return ()


def repeats(kind: Any) -> bool:
    """True for tuples of tuples, of strings or of groups: each further definition adds an item."""
    for member in members(kind):
        items = get_args(member)
        if get_origin(member) is tuple and len(items) == 2 and items[1] is Ellipsis and not choices(member):
            item = members(items[0])[0]
            return item is str or get_origin(item) is tuple or (isinstance(item, type) and not _is_scalar(item))
    return False


def _is_scalar(kind: Any) -> bool:
    return kind in (bool, int, float, str)


def item_type(kind: Any) -> Any:
    """The type of one item of a parameter that repeats."""
    return next(get_args(m)[0] for m in members(kind) if get_origin(m) is tuple)


def type_name(kind: Any) -> str:
    """The type in the words of phil."""
    names = {bool: "bool", int: "int", float: "float", str: "str", type(None): "None"}
    parts = []
    for member in members(kind):
        items = get_args(member)
        if member is type(None):
            continue
        if get_origin(member) is Literal:
            parts.append("choice")
        elif get_origin(member) is tuple and items[1:] == (Ellipsis,):
            parts.append("choice(multi=True)" if choices(member) else _plural_name(items[0]))
        elif get_origin(member) is tuple:
            parts.append(f"{_plural_name(items[0])}(size={len(items)})")
        else:
            parts.append(names.get(member, getattr(member, "__name__", str(member))))
    return " or ".join(dict.fromkeys(parts))


def _plural_name(kind: Any) -> str:
    name = type_name(kind)
    return "strings" if name == "str" else name if name.endswith(")") else f"{name}s"


def describe(kind: Any, limits: Mapping[str, Any], unit: str = "") -> str:
    """What a value must be, as the end of a sentence: "a number >= 0 (Angstrom) or None"."""
    nouns = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "None"}
    parts = []
    for member in members(kind):
        items = get_args(member)
        if get_origin(member) is Literal:
            parts.append("one of " + ", ".join(str(c) for c in items))
        elif choices(member):
            parts.append("some of " + ", ".join(str(c) for c in choices(member)))
        elif get_origin(member) is tuple:
            many = "a list of" if items[1:] == (Ellipsis,) else str(len(items))
            parts.append(f"{many} {_plural(items[0])}")
        else:
            parts.append(nouns.get(member, type_name(member)))
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of", "min_length": "of length >="}
    bounds = " and ".join(f"{signs[k]} {v:g}" for k, v in limits.items() if k in signs)
    first = " ".join(filter(None, [parts[0], bounds, f"({unit})" if unit else ""]))
    return " or ".join([first, *parts[1:]])


def _plural(kind: Any) -> str:
    kind = members(kind)[0]
    if get_origin(kind) is tuple:
        return f"{_plural(get_args(kind)[0])} ({len(get_args(kind))} each)"
    return {bool: "true or false", int: "whole numbers", float: "numbers", str: "texts"}.get(kind, type_name(kind))
