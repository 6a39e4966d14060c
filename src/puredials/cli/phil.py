"""The phil syntax of parameter files and listings: nested scopes of ``name = value`` lines.

scope {                      # a comment
  name = 1.5
  other.name = "a text" ;  third = a b c
}
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from puredials.errors import ParameterError

__all__ = ["Assignment", "format_block", "parse"]

_TOKEN = re.compile(
    r"""(?P<space>[^\S\n]+|\\\r?\n) | (?P<comment>\#[^\n]*) | (?P<newline>\n) | (?P<mark>[{};=])
      | (?P<quoted>\"(?:[^"\\]|\\.)*\"|'(?:[^'\\]|\\.)*') | (?P<word>(?:[^\s{};=\\]|\\(?!\r?\n))+)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Assignment:
    """One definition.

    Attributes:
        path: its full name, with dots.
        text: its value as written.
        where: "file, line 3", or the word of the command line.
        blocks: the braces around it as (path, running number): two blocks of one name are two groups.
    """

    path: str
    text: str
    where: str
    blocks: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


def parse(text: str, name: str = "phil") -> list[Assignment]:
    """The definitions in a text of phil syntax, in order. Attributes (.help, .type, ...) are passed over."""
    return list(_Parser(_tokens(text, name), name).definitions("", ()))


def _tokens(text: str, name: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ParameterError(f"{name}, line {line}: cannot read {text[position : position + 20].split()[0]!r}.")
        kind = str(match.lastgroup)
        if kind not in ("space", "comment"):
            tokens.append(_Token(kind, match.group(), line))
        line += match.group().count("\n")
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token], name: str) -> None:
        self._tokens = tokens
        self._next = 0
        self._name = name
        self._serial = itertools.count()

    def definitions(self, scope: str, blocks: tuple[tuple[str, int], ...]) -> Iterator[Assignment]:
        """Everything up to the closing brace of a scope."""
        while self._skip("newline", ";"):
            token = self._take()
            if token.text == "}" and blocks:
                return
            if token.kind != "word":
                raise self._error(token, f"a name was expected before {token.text!r}")
            disabled, path = token.text.startswith("!"), token.text.lstrip("!")
            path = f"{scope}.{path}" if scope else path
            self._attributes()
            opener = self._peek()
            if opener is not None and opener.text == "=" and opener.kind == "mark":
                self._take()
                value = self._value()
                self._attributes()
                if not disabled:
                    yield Assignment(path, value, f"{self._name}, line {token.line}", blocks)
            elif opener is not None and opener.text == "{" and opener.kind == "mark":
                self._take()
                inner = list(self.definitions(path, (*blocks, (path, next(self._serial)))))
                if not disabled:
                    yield from inner
            else:
                raise self._error(token, f"{token.text!r} needs '= value' or '{{ ... }}' after it")
        if blocks:
            raise ParameterError(f"{self._name}: the brace that opens {scope} is never closed.")

    def _value(self) -> str:
        """The words up to the end of the line; quoted strings may go on on the next lines."""
        words: list[_Token] = []
        while (token := self._peek()) is not None:
            if token.kind in ("word", "quoted") or token.text == "=":
                words.append(self._take())
            elif token.kind == "newline" and words and words[-1].kind == "quoted" and self._peek_kind(1) == "quoted":
                self._take()
            else:
                break
        return " ".join(w.text for w in words)

    def _attributes(self) -> None:
        """Pass over ``.name = value``, on this line and the next ones."""
        while True:
            start = self._next
            self._skip("newline")
            token = self._peek()
            if token is None or token.kind != "word" or not token.text.startswith("."):
                if token is None or token.text != "{":
                    self._next = start
                return
            self._take()
            equals = self._take()
            if equals.text != "=":
                raise self._error(token, f"{token.text!r} needs '= value' after it")
            self._value()

    def _skip(self, *kinds: str) -> bool:
        while (token := self._peek()) is not None and (
            token.kind in kinds or (token.kind == "mark" and token.text in kinds)
        ):
            self._next += 1
        return token is not None

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _peek_kind(self, ahead: int) -> str:
        position = self._next + ahead
        return self._tokens[position].kind if position < len(self._tokens) else ""

    def _take(self) -> _Token:
        token = self._peek()
        if token is None:
            raise ParameterError(f"{self._name} ends in the middle of a definition.")
        self._next += 1
        return token

    def _error(self, token: _Token, message: str) -> ParameterError:
        return ParameterError(f"{self._name}, line {token.line}: {message}.")


def format_block(definitions: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Definitions (full path, lines of text after the name) as nested scopes.

    The first line follows the name, the others (attributes) go below it, indented. A path ending in ``{`` opens a new
    group of that name even if the group before has the same.
    """
    lines: list[str] = []
    open_scopes: list[str] = []

    def close(depth: int) -> None:
        while len(open_scopes) > depth:
            open_scopes.pop()
            lines.append("  " * len(open_scopes) + "}")

    for path, texts in definitions:
        *scopes, name = path.split(".")
        new_group = name == "{"
        if new_group:
            close(len(scopes) - 1)
        common = 0
        while common < min(len(scopes), len(open_scopes)) and scopes[common] == open_scopes[common]:
            common += 1
        close(common)
        for scope in scopes[common:]:
            lines.append("  " * len(open_scopes) + scope + " {")
            open_scopes.append(scope)
        if not new_group:
            indent = "  " * len(open_scopes)
            lines.append(f"{indent}{name} = {texts[0]}")
            lines.extend(f"{indent}  {text}" for text in texts[1:])
    close(0)
    return "\n".join(lines)
