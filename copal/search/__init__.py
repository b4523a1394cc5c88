"""Questions to the store: match cuts over any set of titles."""

from copal.search.match import MatchAnswer, MatchCut, Side, match

__all__ = ["MatchAnswer", "MatchCut", "Side", "match"]
