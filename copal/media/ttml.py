"""TTML: the XML of timed text, as broadcasters and streaming services exchange it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from copal.errors import UnreadableMedia
from copal.media.dialogue import Line, tidy

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_XML = "{http://www.w3.org/XML/1998/namespace}"
_CLOCK = re.compile(r"(\d+):(\d{2}):(\d{2}(?:\.\d+)?)(?::(\d+(?:\.\d+)?))?")
_OFFSET = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|f|t)")
_RATE = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
DEEPEST = 100
"""Elements within each other, after which a document is no document."""


def read_ttml(content: str, name: str) -> Iterator[Line]:
    """Lines of a TTML document, in any of its namespaces.

    Times may be clocks, frames, ticks or offsets, and count from the parent's. ``ttm:agent``
    names the speaker.

    Raises
    ------
    UnreadableMedia
        It is no XML, declares entities, or holds a time that is none.
    """
    root = parse(content, name)
    try:
        document = _Document(root)
        for child in root:
            if _tag(child) == "body":
                yield from document.lines(child, Fraction(0), None, None, 0)
    except (ValueError, ZeroDivisionError) as error:
        raise UnreadableMedia(f"{name}: its TTML cannot be read ({error}).") from error


def language_of(content: str, name: str) -> str | None:
    """What ``xml:lang`` of the document says."""
    return parse(content, name).get(f"{_XML}lang") or None


def parse(content: str, name: str) -> Element:
    """The document's root. A document type is refused: entities may grow without end."""
    from xml.etree import ElementTree

    if "<!DOCTYPE" in content or "<!ENTITY" in content:
        raise UnreadableMedia(f"{name}: TTML with a document type is not read. Take it out.")
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", content)  # it is decoded already
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UnreadableMedia(f"{name}: not well-formed XML ({error}).") from error


class _Document:
    """A document's clock and its speakers."""

    def __init__(self, root: Element) -> None:
        rate = _rate(_number(root, "frameRate", "30"))
        multiplier = re.split(r"[\s:]+", _number(root, "frameRateMultiplier", "1 1").strip())
        self.frame_rate = rate * _rate(multiplier[0]) / _rate(multiplier[-1])
        ticks = _number(root, "tickRate", "")
        given = _number(root, "frameRate", "")
        self.tick_rate = _rate(ticks) if ticks else self.frame_rate if given else Fraction(1)
        self.agents: dict[str, str] = {}
        for element in root.iter():
            if _tag(element) == "agent" and (key := element.get(f"{_XML}id")):
                names = [" ".join("".join(each.itertext()).split()) for each in element]
                self.agents[key] = next((each for each in names if each), key)

    def seconds(self, text: str) -> Fraction:
        clock = _CLOCK.fullmatch(text.strip())
        if clock:
            whole = int(clock[1]) * 3600 + int(clock[2]) * 60 + Fraction(clock[3])
            return whole + Fraction(clock[4] or 0) / self.frame_rate
        offset = _OFFSET.fullmatch(text.strip())
        if offset is None:
            raise ValueError(f"'{text[:40]}' is no time")
        units = {
            "h": Fraction(3600), "m": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000),
            "f": 1 / self.frame_rate, "t": 1 / self.tick_rate,
        }  # fmt: skip
        return Fraction(offset[1]) * units[offset[2]]

    def lines(
        self,
        element: Element,
        start: Fraction,
        end: Fraction | None,
        speaker: str | None,
        depth: int,
    ) -> Iterator[Line]:
        """Lines of an element: paragraphs, and spans in them that have times or speakers."""
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} elements within each other")
        start, end = self.times(element, start, end)
        speaker = self.agent(element) or speaker
        if _tag(element) in ("p", "span"):
            own = [child for child in element.iter() if child is not element and self.own(child)]
            yield from _shown(start, end, _words(element, own), speaker)
        for child in element:
            if _tag(child) in ("div", "p") or self.own(child):
                yield from self.lines(child, start, end, speaker, depth + 1)

    def own(self, element: Element) -> bool:
        """Whether a span has times or a speaker of its own."""
        if _tag(element) != "span":
            return False
        return bool({"begin", "end", "dur"} & set(element.attrib) or self.agent(element))

    def times(
        self, element: Element, start: Fraction, end: Fraction | None
    ) -> tuple[Fraction, Fraction | None]:
        parent = start
        if begin := element.get("begin"):
            start = parent + self.seconds(begin)
        ends = [] if end is None else [end]
        if given := element.get("end"):
            ends.append(parent + self.seconds(given))
        if lasts := element.get("dur"):
            ends.append(start + self.seconds(lasts))
        return start, min(ends, default=None)

    def agent(self, element: Element) -> str | None:
        for key, value in element.attrib.items():
            if key.endswith("}agent"):
                return ", ".join(self.agents.get(each, each) for each in value.split()) or None
        return None


def _shown(start: Fraction, end: Fraction | None, text: str, speaker: str | None) -> Iterator[Line]:
    if text and end is not None:  # words without an end are no subtitles
        first = round(start * 1000)
        yield Line(first, max(first, round(end * 1000)), text, speaker)


def _words(element: Element, without: Sequence[Element] = ()) -> str:
    """Text of an element, breaks as line breaks, less what some elements in it say."""
    return tidy("".join(_pieces(element, without)))


def _pieces(element: Element, without: Sequence[Element]) -> Iterator[str]:
    yield _blanks(element.text)
    for child in element:
        if _tag(child) == "br":
            yield "\n"
        elif _tag(child) == "span" and not any(child is each for each in without):
            yield from _pieces(child, without)
        yield _blanks(child.tail)


def _blanks(text: str | None) -> str:
    """A line break of the file is a blank."""
    return re.sub(r"\s+", " ", text or "")


def _tag(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _number(root: Element, name: str, otherwise: str) -> str:
    """A parameter of the document, in whichever namespace it stands."""
    return next((v for k, v in root.attrib.items() if k.rpartition("}")[2] == name), otherwise)


def _rate(text: str) -> Fraction:
    """A rate as it is written. A Fraction of ``1e10000000`` would take hours."""
    if not _RATE.fullmatch(text.strip()):
        raise ValueError(f"'{text[:40]}' is no rate")
    return Fraction(text.strip())
