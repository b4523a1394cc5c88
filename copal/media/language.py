"""Languages: the tags that files carry and the words in their names, as one kind of tag."""

from __future__ import annotations

import re

_TWO = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da "
    "de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy "
    "hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg "
    "li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or "
    "os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta "
    "te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
_THREE = (
    "afr:af alb:sq sqi:sq ara:ar arm:hy hye:hy baq:eu eus:eu bel:be ben:bn bos:bs bul:bg "
    "cat:ca chi:zh zho:zh cze:cs ces:cs dan:da dut:nl nld:nl eng:en est:et fin:fi fre:fr "
    "fra:fr geo:ka kat:ka ger:de deu:de gre:el ell:el heb:he hin:hi hrv:hr hun:hu ice:is "
    "isl:is ind:id gle:ga ita:it jpn:ja kan:kn kaz:kk kor:ko lav:lv lit:lt mac:mk mkd:mk "
    "may:ms msa:ms mal:ml mar:mr nob:nb nno:nn nor:no per:fa fas:fa pol:pl por:pt rum:ro "
    "ron:ro rus:ru slo:sk slk:sk slv:sl spa:es srp:sr swe:sv tam:ta tel:te tha:th tur:tr "
    "ukr:uk urd:ur vie:vi wel:cy cym:cy"
)
TWO = frozenset(_TWO.split())
"""ISO 639-1."""
THREE = dict(pair.split(":") for pair in _THREE.split())
"""ISO 639-2 for which ISO 639-1 has a shorter tag, as containers use them."""
MARKS = frozenset(
    ("forced", "sdh", "cc", "hi", "default", "full", "signs", "captions", "subtitles")
)
"""Words that stand in names of files beside the language."""

_TAG = re.compile(r"([a-z]{2,3})((?:[-_](?:[a-z]{4}|[a-z]{2}|\d{3}))*)", re.IGNORECASE)


def language_tag(text: str) -> str | None:
    """A container's tag in short: ``eng`` → ``en``, ``pt-BR`` stays; None where it says nothing."""
    match = _TAG.fullmatch(text.strip())
    if match is None or match[1].lower() in ("und", "mul", "zxx", "mis"):
        return None
    primary = match[1].lower()
    more = re.split("[-_]", match[2])[1:]
    script_and_region = (each.title() if len(each) == 4 else each.upper() for each in more)
    return "-".join([THREE.get(primary, primary), *script_and_region])


def language_in_name(name: str) -> str | None:
    """The language that a file's name ends in: ``film.en.vtt``, ``film.pt-BR.forced.srt``."""
    parts = name.split(".")[1:-1]
    for place in range(len(parts) - 1, -1, -1):
        part = parts[place]
        match = _TAG.fullmatch(part)
        known = match is not None and match[1].lower() in TWO | set(THREE)
        # 'hi' is Hindi, unless a language stands before it
        earlier = place and language_in_name(".".join(["x", *parts[:place], "x"]))
        if known and not (part.lower() in MARKS and earlier):
            return language_tag(part)
        if part.lower() not in MARKS:
            return None
    return None
