"""Several descriptions of every tag, and of the concepts that are no tags."""

from __future__ import annotations

from ram_tagger.sketch.captions import MASS, PLURALS, with_article
from ram_tagger.sketch.vocabulary import BACKDROPS, CATEGORIES, COLOURS, drawings


def describe(name: str) -> tuple[str, ...]:
    """4 to 12 descriptions of a drawing, backdrop, colour or category. Raises KeyError."""
    if name in drawings():
        return _drawing(name)
    if name in BACKDROPS:
        backdrop = BACKDROPS[name]
        return (name, f"a picture of {name}", *backdrop.places, *backdrop.phrases)
    if name in COLOURS:
        return _colour(name)
    return _category(name)


def _drawing(name: str) -> tuple[str, ...]:
    drawing, noun = drawings()[name], with_article(name)
    texts = [noun, f"a picture of {noun}", f"a drawing of {noun}"]
    texts += [f"{noun}, {phrase}" for phrase in drawing.phrases]
    texts += drawing.phrases[:2]
    texts += [f"{noun}, a kind of {kind}" for kind in drawing.categories[:1]]
    texts += [f"{noun} ({word})" for word in drawing.keywords[:3]]
    return tuple(dict.fromkeys(texts))[:12]


def _colour(name: str) -> tuple[str, ...]:
    article = "an" if name[0] in "aeiou" else "a"
    things = [d.name for d in drawings().values() if name in d.colours and not d.held_out]
    places = [p for b in BACKDROPS.values() if name in b.colours for p in b.phrases[:1]]
    texts = [name, f"something {name}", f"{article} {name} thing", f"{article} {name} background"]
    texts += [f"{article} {name} {thing}" for thing in things[:4]]
    return tuple(texts + places[:3])


def _category(name: str) -> tuple[str, ...]:
    assert name in CATEGORIES, name
    noun = f"some {name}" if name in MASS else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    members = [d.name for d in drawings().values() if name in d.categories and not d.held_out]
    texts = [name, noun, f"a picture of {noun}"]
    texts += [PLURALS[name]] if name in PLURALS else []
    texts += [f"{noun}, {with_article(member)}" for member in members[:6]]
    return tuple(texts)
