"""A filter on titles: ``year >= 1990 and show = 'Heist'``, read by itself and never as code."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

from copal.asset import Title
from copal.errors import RequestError, suggestion

TEXTS = ("title", "kind", "show")
NUMBERS = ("season", "episode", "year")
FIELDS = (*TEXTS, *NUMBERS)
LONGEST, DEEPEST = 2_000, 20
"""Characters of a filter, and parentheses inside each other."""

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|(?P<number>-?\d+(?![\w.]))"
    r"|(?P<sign><=|>=|!=|<>|==|[=<>(),])|(?P<word>[^\W\d]\w*))"
)
_ORDER: dict[str, Callable[[int, int], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


class Filter(Protocol):
    """Something that holds for a title or does not."""

    def holds(self, title: Title) -> bool:
        """Whether the title is one of those meant."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field of a title beside values; a field that nobody filled in is unlike any value."""

    field: str
    sign: str
    """``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, or ``in``."""
    values: tuple[str | int, ...]

    def holds(self, title: Title) -> bool:
        """Texts are compared without regard to case."""
        found = title.name if self.field == "title" else getattr(title, self.field)
        if found is None:
            return self.sign == "!="
        if self.sign in _ORDER:
            return _ORDER[self.sign](int(found), int(self.values[0]))
        alike = _folded(found) in {_folded(value) for value in self.values}
        return alike != (self.sign == "!=")


@dataclass(frozen=True, slots=True)
class Both:
    """Two filters that must both hold."""

    one: Filter
    other: Filter

    def holds(self, title: Title) -> bool:
        """Whether both do."""
        return self.one.holds(title) and self.other.holds(title)


@dataclass(frozen=True, slots=True)
class Either:
    """Two filters of which one must hold."""

    one: Filter
    other: Filter

    def holds(self, title: Title) -> bool:
        """Whether one does."""
        return self.one.holds(title) or self.other.holds(title)


@dataclass(frozen=True, slots=True)
class Not:
    """A filter that must not hold."""

    one: Filter

    def holds(self, title: Title) -> bool:
        """Whether it does not."""
        return not self.one.holds(title)


def parse(text: str) -> Filter:
    """The filter that a text says.

    ``FIELD SIGN VALUE`` with the fields title, kind, show, season, episode and year, joined by
    ``and``, ``or``, ``not`` and parentheses; ``and`` binds closer. ``year in (1990, 1994)``.

    Raises
    ------
    RequestError
        It says nothing that can be understood; tells where.
    """
    if len(text) > LONGEST:
        raise RequestError(f"--where: {len(text):,} characters; {LONGEST:,} are the most.")
    return _Reader(text).read()


class _Reader:
    """Goes through a filter's text, one token at a time."""

    def __init__(self, text: str) -> None:
        self.text = text.rstrip()
        self.at = 0
        self.depth = 0

    def read(self) -> Filter:
        found = self.either()
        if self.at < len(self.text):
            self.refuse("expected 'and' or 'or'")
        return found

    def either(self) -> Filter:
        found = self.both()
        while self.took("word", "or"):
            found = Either(found, self.both())
        return found

    def both(self) -> Filter:
        found = self.one()
        while self.took("word", "and"):
            found = Both(found, self.one())
        return found

    def one(self) -> Filter:
        self.depth += 1
        if self.depth > DEEPEST:
            self.refuse(f"more than {DEEPEST} levels")
        if self.took("word", "not"):
            found: Filter = Not(self.one())
        elif self.took("sign", "("):
            found = self.either()
            if not self.took("sign", ")"):
                self.refuse("expected ')'")
        else:
            found = self.comparison()
        self.depth -= 1
        return found

    def comparison(self) -> Filter:
        field = (self.took("word") or self.refuse("expected a field")).lower()
        if field not in FIELDS:
            known = f"there are {', '.join(FIELDS)}."
            raise RequestError(f"--where: no field '{field}'; {known}" + suggestion(field, FIELDS))
        if self.took("word", "in"):
            if not self.took("sign", "("):
                self.refuse("expected '('")
            values = [self.value(field)]
            while self.took("sign", ","):
                values.append(self.value(field))
            if not self.took("sign", ")"):
                self.refuse("expected ')'")
            return Comparison(field, "in", tuple(values))
        sign = self.took("sign") or self.refuse("expected =, !=, <, <=, >, >= or 'in'")
        sign = {"==": "=", "<>": "!="}.get(sign, sign)
        if sign not in ("=", "!=", *_ORDER):
            self.refuse("expected =, !=, <, <=, >, >= or 'in'")
        if sign in _ORDER and field in TEXTS:
            raise RequestError(f"--where: {field} is a text; it can be =, != or 'in' something.")
        return Comparison(field, sign, (self.value(field),))

    def value(self, field: str) -> str | int:
        if field in NUMBERS:
            return int(self.took("number") or self.refuse(f"{field} needs a whole number"))
        quoted = self.took("text")
        if quoted is not None:
            return quoted[1:-1].replace(quoted[0] * 2, quoted[0])
        return self.took("word") or self.refuse(f"{field} needs a text in quotes")

    def took(self, kind: str, wanted: str | None = None) -> str | None:
        """The next token, when it is of a kind (and that very one); otherwise nothing is taken."""
        found = _TOKEN.match(self.text, self.at)
        if found is None or found.lastgroup != kind:
            return None
        token = found[kind]
        if wanted is not None and token.lower() != wanted:
            return None
        self.at = found.end()
        return str(token)

    def refuse(self, wanted: str) -> NoReturn:
        rest = self.text[self.at :].strip()
        where = f"before '{rest[:30]}'" if rest else "at its end"
        raise RequestError(f"--where '{self.text}': {wanted} {where}. An example: "
                           "year >= 1990 and show = 'Heist'")  # fmt: skip


def _folded(value: str | int) -> str | int:
    return value.casefold() if isinstance(value, str) else value
