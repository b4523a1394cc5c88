"""Questions to the store: match cuts over any set of titles, and how good they are."""

from copal.search.cuts import Looked, MatchAnswer, MatchCut, Side
from copal.search.match import match
from copal.search.question import Question

__all__ = ["Looked", "MatchAnswer", "MatchCut", "Question", "Side", "match"]
