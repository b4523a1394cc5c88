"""The rules of a registry that sort failures: to be tried again, to be skipped, to be given up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Then(StrEnum):
    """What becomes of a cell whose failure a rule matches."""

    RETRY = "retry"
    """Tried again by the next runs, a few times; then quarantined."""
    SKIP = "skip"
    """Not tried again and no failure either: what needs the cell is skipped with it."""
    FAIL = "fail"
    """Quarantined at once."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Failures of a class, of a message, or of both, and what becomes of them."""

    then: Then
    error_class: str = ""
    """Name of the exception's class or of one of its bases, without its module; any when empty."""
    message: str = ""
    """A regular expression that is found somewhere in the message; any message when empty."""

    def __post_init__(self) -> None:
        if not (self.error_class or self.message):
            raise ValueError("a rule needs a class, a message, or both")
        re.compile(self.message)

    def matches(self, error: BaseException) -> bool:
        """Whether the rule is about this exception, or about the one that caused it."""
        found = [error] if error.__cause__ is None else [error, error.__cause__]
        return any(
            (not self.error_class or self.error_class in _names(each))
            and (not self.message or re.search(self.message, str(each)) is not None)
            for each in found
        )


def verdict(rules: Sequence[Rule], error: BaseException) -> Then:
    """What becomes of a cell that failed so: the first rule that matches decides.

    Where none does, an error that says so itself is tried again, and every other is given up.
    """
    for rule in rules:
        if rule.matches(error):
            return rule.then
    return Then.RETRY if getattr(error, "retryable", False) else Then.FAIL


def _names(error: BaseException) -> set[str]:
    return {each.__name__ for each in type(error).__mro__} - {"object"}
