"""Three short films, painted rather than shot, to try Copal on without footage of one's own."""

from copal.demo.catalogue import Catalogue, DemoTitle, make_catalogue, sample_film

__all__ = ["Catalogue", "DemoTitle", "make_catalogue", "sample_film"]
