"""Sentences about scenes, each with the facts it states, so that its truth can be checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from numpy.random import Generator

from ram_tagger.sketch.scenes import Placement, Scene
from ram_tagger.sketch.vocabulary import BACKDROPS, Drawing, drawings

APART = 0.22
"""How far apart two drawings stand (parts of the picture) before a caption relates them."""
OPENINGS = ("", "", "", "", "", "a picture of ", "a drawing of ", "a photo of ", "an image of ",
            "there is ", "we see ", "a scene with ", "here is ")  # fmt: skip
PLURALS = {
    "animal": "animals", "bird": "birds", "insect": "insects", "sea animal": "sea animals",
    "fruit": "fruits", "vehicle": "vehicles", "plant": "plants", "flower": "flowers",
    "building": "buildings", "musical instrument": "musical instruments", "ball": "balls",
    "household item": "household items",
}  # fmt: skip
MASS = frozenset({"food", "clothing", "fruit"})
"""Categories that take no article."""

GLUE = """
some a an the this and with of in on at for to from , . : ( ) is are it one two three four
left right above below beside next near before behind kind something thing things called also
known as which coloured colour background object seen shown shows can be here there scene view
small large little big mostly full close photo photograph picture drawing image illustration
cartoon emoji icon sketch
"""
"""Words between the names, also those that only searches use."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence and the facts that must hold for it to be true."""

    text: str
    facts: frozenset[str]


def scene_facts(scene: Scene) -> frozenset[str]:
    """Everything that a caption may state about a scene."""
    facts = {scene.backdrop, *BACKDROPS[scene.backdrop].also, *scene.names}
    kinds = Counter(c for name in scene.names for c in drawings()[name].categories)
    facts |= set(kinds) | {PLURALS[k] for k, n in kinds.items() if n > 1 and k in PLURALS}
    for a in scene.placements:
        for b in scene.placements:
            facts |= {_relation_fact(word, a.name, b.name) for word in _relations(a, b)}
    if "building" in facts:
        facts.add("buildings")
    return frozenset(facts)


def make_caption(rng: Generator, scene: Scene) -> Caption:
    """A sentence about some or all of a scene."""
    shown = [scene.placements[i] for i in rng.permutation(len(scene.placements))]
    if len(shown) > 1 and rng.random() < 0.45:
        shown = shown[: int(rng.integers(1, len(shown)))]
    facts: set[str] = set()
    body = _body(rng, shown, facts)
    opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
    return Caption(opening + _with_place(rng, scene.backdrop, body, facts), frozenset(facts))


def make_short_caption(rng: Generator, scene: Scene) -> Caption:
    """A sentence about a single thing of a scene, or two; now and then its backdrop or a kind."""
    chance = rng.random()
    if chance < 0.08:
        backdrop = BACKDROPS[scene.backdrop]
        words = (backdrop.name, *backdrop.places, *backdrop.phrases)
        return Caption(words[int(rng.integers(len(words)))], frozenset({backdrop.name}))
    if chance < 0.2:
        kinds = sorted(scene_facts(scene) & (set(PLURALS) | set(PLURALS.values()) | MASS))
        if kinds:
            kind = kinds[int(rng.integers(len(kinds)))]
            return Caption(_kind(kind), frozenset({kind}))
    count = min(len(scene.placements), 1 if rng.random() < 0.65 else 2)
    shown = [scene.placements[i] for i in rng.permutation(len(scene.placements))[:count]]
    facts: set[str] = set()
    opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
    return Caption(opening + _body(rng, shown, facts), frozenset(facts))


def with_article(name: str) -> str:
    """ "a cat", "an apple", "some grapes"."""
    return f"{drawings()[name].article} {name}"


def all_words() -> list[str]:
    """Texts that together hold every word that captions and descriptions are made of."""
    texts = [*OPENINGS, *PLURALS, *PLURALS.values(), *MASS, *GLUE.split()]
    for drawing in drawings().values():
        texts += [drawing.name, drawing.article, *drawing.colours, *drawing.categories]
        texts += [*drawing.phrases, *drawing.keywords]
    for backdrop in BACKDROPS.values():
        texts += [backdrop.name, *backdrop.places, *backdrop.phrases, *backdrop.colours]
    return texts


def _body(rng: Generator, shown: Sequence[Placement], facts: set[str]) -> str:
    if len(shown) == 2 and rng.random() < 0.2:
        a, b = shown
        if words := _relations(a, b):
            word = words[int(rng.integers(len(words)))]
            facts |= {a.name, b.name, _relation_fact(word, a.name, b.name)}
            return f"{_noun(rng, a.name, facts)} {word} {_noun(rng, b.name, facts)}"
    if rng.random() < 0.12:  # bare words, as one types them into a search box
        facts |= {p.name for p in shown}
        return (" ", ", ", " and ")[int(rng.integers(3))].join(p.name for p in shown)
    nouns = [_noun(rng, p.name, facts) for p in shown]
    if len(nouns) == 1:
        return nouns[0]
    joint = (" and ", " and ", " with ", ", ", " next to ")[int(rng.integers(5))]
    if len(nouns) == 2:
        return joint.join(nouns)
    return ", ".join(nouns[:-1]) + " and " + nouns[-1]


def _noun(rng: Generator, name: str, facts: set[str]) -> str:
    drawing, chance = drawings()[name], rng.random()
    if chance < 0.05 and drawing.categories:
        kind = drawing.categories[int(rng.integers(len(drawing.categories)))]
        if not any(name in fact for fact in facts):
            facts.add(kind)
            return _kind(kind)
    facts.add(name)
    return _named(rng, drawing, chance)


def _named(rng: Generator, drawing: Drawing, chance: float) -> str:
    if chance < 0.13 and drawing.colours:
        colour = " and ".join(drawing.colours)
        article = drawing.article if drawing.article == "some" else _article(colour)
        return f"{article} {colour} {drawing.name}"
    if chance < 0.27:
        return drawing.phrases[int(rng.integers(len(drawing.phrases)))]
    if chance < 0.34:
        phrase = drawing.phrases[int(rng.integers(len(drawing.phrases)))]
        return f"{with_article(drawing.name)}, {phrase}"
    if chance < 0.4 and drawing.keywords:
        word = drawing.keywords[int(rng.integers(len(drawing.keywords)))]
        return f"{with_article(drawing.name)} ({word})"
    if chance < 0.44 and drawing.categories:
        return f"{with_article(drawing.name)}, a kind of {drawing.categories[0]}"
    if chance < 0.48:
        return f"the {drawing.name}"
    return with_article(drawing.name)


def _with_place(rng: Generator, name: str, body: str, facts: set[str]) -> str:
    backdrop, chance = BACKDROPS[name], rng.random()
    if chance < 0.4:
        return body
    facts.add(name)
    if chance < 0.9:
        return f"{body} {backdrop.places[int(rng.integers(len(backdrop.places)))]}"
    if chance < 0.95:
        return f"{body}, {backdrop.phrases[int(rng.integers(len(backdrop.phrases)))]}"
    return f"{body}, {name}"


def _kind(kind: str) -> str:
    if kind in PLURALS.values():
        return kind
    return f"some {kind}" if kind in MASS else f"{_article(kind)} {kind}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _relations(a: Placement, b: Placement) -> list[str]:
    found = []
    if abs(a.x - b.x) > APART and abs(a.x - b.x) > abs(a.y - b.y):
        found.append("to the left of" if a.x < b.x else "to the right of")
    if abs(a.y - b.y) > APART and abs(a.y - b.y) > abs(a.x - b.x):
        found.append("above" if a.y < b.y else "below")
    return found


def _relation_fact(word: str, a: str, b: str) -> str:
    """One fact for both ways of saying it."""
    if word in ("to the right of", "below"):
        a, b = b, a
    return f"{a} {'before' if 'the' in word else 'over'} {b}"
