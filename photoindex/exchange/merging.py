"""What a photo shows, brought into a sidecar that other programs write as well.

photoindex notes in the sidecar which entries are its own. Only these are ever taken out again, and
one of them that somebody else took out is not put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from photoindex.exchange.sidecar import Sidecar
from photoindex.exchange.subjects import PATHS, SUBJECT, Property, clean, narrow


@dataclass(frozen=True, slots=True)
class Merged:
    """The tags that came into a sidecar, that left it, and that others keep off it."""

    added: tuple[str, ...]
    withdrawn: tuple[str, ...]
    kept_off: tuple[str, ...]


def merge(sidecar: Sidecar, names: Sequence[str], root: Sequence[str]) -> Merged:
    """Add the tags that are missing, and withdraw those of our own that are shown no more.

    root: the components under which tags stand in the trees. Raises SidecarError.
    """
    wanted = clean(names)
    there, mine = sidecar.values(SUBJECT), sidecar.values(SUBJECT.written())
    kept_off = tuple(name for name in mine if name in wanted and name not in there)
    entered = [name for name in wanted if name not in kept_off]
    for paths in PATHS:
        if entered:
            _mirror(sidecar, paths)
        placed = {_folded(paths.leaf(entry)) for entry in _of_others(sidecar, paths)}
        # A tag that somebody has a place for in their tree needs no second one.
        unplaced = [name for name in entered if _folded(name) not in placed]
        _bring(sidecar, paths, [paths.entry(name, root) for name in unplaced])
    added, withdrawn = _bring(sidecar, SUBJECT, entered, kept_off)
    return Merged(added, withdrawn, kept_off)


def _mirror(sidecar: Sidecar, paths: Property) -> None:
    """Let a list of paths that nobody else has begun hold the tags of others, too.

    digiKam reads the first list that it finds and no other one: a list of our tags alone would
    hide theirs. They stay theirs.
    """
    if _of_others(sidecar, paths):
        return
    (other,) = (one for one in PATHS if one is not paths)
    trees = [tuple(map(narrow, other.parts(path))) for path in _of_others(sidecar, other)]
    components = {part for tree in trees for part in tree}
    flat = [(name,) for name in _of_others(sidecar, SUBJECT) if narrow(name) not in components]
    theirs = dict.fromkeys(paths.entry(tree[-1], tree[:-1]) for tree in (*trees, *flat))
    there = sidecar.values(paths)
    sidecar.add(paths, [entry for entry in theirs if entry not in there])


def _of_others(sidecar: Sidecar, of: Property) -> list[str]:
    mine = sidecar.values(of.written())
    return [entry for entry in sidecar.values(of) if entry not in mine]


def _folded(name: str) -> str:
    return narrow(name).casefold()


def _bring(
    sidecar: Sidecar, of: Property, entries: Sequence[str], kept_off: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make a list hold `entries` and no other one of ours. Returns what came and what left."""
    there, mine = sidecar.values(of), sidecar.values(of.written())
    left = tuple(entry for entry in mine if entry in there and entry not in entries)
    spelt = {entry.casefold() for entry in there if entry not in left}
    came = tuple(entry for entry in entries if entry.casefold() not in spelt)
    note = [entry for entry in mine if entry in entries or entry in kept_off]
    sidecar.remove(of, left)
    sidecar.add(of, came)
    sidecar.remove(of.written(), [entry for entry in mine if entry not in note])
    sidecar.add(of.written(), [entry for entry in came if entry not in note])
    return came, left
