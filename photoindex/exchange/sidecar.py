"""One XMP sidecar: read safely, changed only where asked, everything else kept.

XMP is ISO 16684-1. lxml keeps what a rewriting must keep: prefixes, the order of attributes and
elements, comments and processing instructions.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from photoindex.errors import PhotoindexError
from photoindex.exchange.subjects import Property

MAX_BYTES = 16 * 1024 * 1024
"""A sidecar is a few kilobytes; some with an editor's whole history have a few hundred."""
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMPMETA = "{adobe:ns:meta/}xmpmeta"
_SIDECAR_FOR = "{http://ns.adobe.com/photoshop/1.0/}SidecarForExtension"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
_NEW = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="photoindex">\n'
    f' <rdf:RDF xmlns:rdf="{_RDF}">\n'
    '  <rdf:Description rdf:about=""/>\n'
    " </rdf:RDF>\n"
    "</x:xmpmeta>"
)


class SidecarError(PhotoindexError):
    """A sidecar that cannot be used; it is left as it is. The message says why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A sidecar's bytes, and the stamp by which one sees that it has changed since."""

    raw: bytes
    stamp: tuple[int, int, int]  # inode, size, mtime_ns
    mode: int
    owner: tuple[int, int]


def read(path: Path) -> Snapshot | None:
    """A sidecar's bytes, None where there is none.

    Raises SidecarError for links (they may lead anywhere), what is no file, what is far too big,
    and what cannot be read.
    """
    try:
        # A pipe would wait for its writer for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        link = path.is_symlink()
        raise SidecarError("it is a link" if link else error.strerror or str(error)) from error
    with os.fdopen(handle, "rb") as file:
        known = os.fstat(handle)
        if not stat.S_ISREG(known.st_mode):
            raise SidecarError("it is no file")
        if known.st_size > MAX_BYTES:
            raise SidecarError(f"it is far too big ({known.st_size:,} bytes)")
        return Snapshot(
            file.read(MAX_BYTES), stamp_of(known), known.st_mode, (known.st_uid, known.st_gid)
        )


def stamp_of(known: os.stat_result) -> tuple[int, int, int]:
    """Differs once a file was written again."""
    return known.st_ino, known.st_size, known.st_mtime_ns


class Sidecar:
    """An XMP document whose lists of subjects can be read and changed."""

    def __init__(self, root: Any, declared: bool) -> None:
        """Use `parse` or `new`."""
        self._root = root
        self._declared = declared
        self._rdf = _rdf_of(root)

    @classmethod
    def parse(cls, raw: bytes) -> Sidecar:
        """Raises SidecarError for what is no XMP.

        No entity is expanded, nothing is fetched, and the parser's limits on depth and size hold.
        """
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        )
        try:
            root = etree.fromstring(raw, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise SidecarError(f"it is no XML: {error}") from error
        if root.getroottree().docinfo.internalDTD is not None:
            raise SidecarError("it has a document type, which XMP never has")
        return cls(root, raw.lstrip(b"\xef\xbb\xbf").startswith(b"<?xml "))

    @classmethod
    def new(cls) -> Sidecar:
        """A document that says nothing yet."""
        return cls(etree.fromstring(_NEW), True)

    @property
    def extension(self) -> str | None:
        """The extension of the only kind of file that this one belongs to (a raw file's, say)."""
        for description in self._descriptions():
            found = description.get(_SIDECAR_FOR) or description.findtext(_SIDECAR_FOR)
            if found:
                return str(found).lower()
        return None

    def values(self, of: Property) -> tuple[str, ...]:
        """The texts of a list, none where there is none."""
        found: list[str] = []
        for description in self._descriptions():
            if _clark(of) in description.attrib:
                found.append(description.get(_clark(of)))
        for element in self._elements(of):
            container = _container(element)
            items = [element] if container is None else _items(container)
            found.extend("".join(item.itertext()) for item in items)
        return tuple(dict.fromkeys(text for text in map(str.strip, found) if text))

    def add(self, of: Property, entries: Sequence[str]) -> None:
        """Append entries to a list, made where there is none. Raises SidecarError."""
        if not entries:
            return
        container = self._list(of)
        for entry in entries:
            item = etree.Element(f"{{{_RDF}}}li")
            item.text = entry
            _append(container, item)

    def remove(self, of: Property, entries: Collection[str]) -> None:
        """Take entries out of a list, and the list with its last one. Raises SidecarError."""
        if not entries:
            return
        for element in self._elements(of):
            container = _container(element)
            if container is None:
                raise _no_list(of)
            for item in _items(container):
                if "".join(item.itertext()).strip() in entries:
                    _take_out(item)
            if not len(container):
                _take_out(element)

    def to_bytes(self) -> bytes:
        """The document in UTF-8, with the remarks and instructions that stand around its root."""
        before = list(self._root.itersiblings(preceding=True))[::-1]
        nodes = (*before, self._root, *self._root.itersiblings())
        texts = [etree.tostring(node, encoding="UTF-8", with_tail=False) for node in nodes]
        return b"\n".join([_DECLARATION] * self._declared + [*texts, b""])

    def _list(self, of: Property) -> Any:
        """The container of a list, to append to."""
        if any(_clark(of) in description.attrib for description in self._descriptions()):
            raise _no_list(of)
        for element in self._elements(of):
            container = _container(element)
            if container is None:
                raise _no_list(of)
            return container
        description = next(self._descriptions(), None)
        if description is None:
            description = etree.Element(f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
            _append(self._rdf, description)
        element = etree.Element(_clark(of), nsmap={of.prefix: of.namespace, "rdf": _RDF})
        container = etree.SubElement(element, f"{{{_RDF}}}{of.container}")
        _append(description, element)
        etree.cleanup_namespaces(element, keep_ns_prefixes=[of.prefix])
        depth = sum(1 for _ in element.iterancestors())
        element.text, container.tail = "\n" + " " * (depth + 1), "\n" + " " * depth
        container.text = "\n" + " " * (depth + 2)
        return container

    def _descriptions(self) -> Iterator[Any]:
        return self._rdf.iterchildren(f"{{{_RDF}}}Description")  # type: ignore[no-any-return]

    def _elements(self, of: Property) -> list[Any]:
        return [
            element
            for parent in self._descriptions()
            for element in parent.iterchildren(_clark(of))
        ]


def _rdf_of(root: Any) -> Any:
    rdf = root.find(f"{{{_RDF}}}RDF") if root.tag == _XMPMETA else root
    if rdf is None or rdf.tag != f"{{{_RDF}}}RDF":
        raise SidecarError("it is no XMP")
    return rdf


def _clark(of: Property) -> str:
    return f"{{{of.namespace}}}{of.name}"


def _container(element: Any) -> Any:
    """The Bag, Seq or Alt in a list, None where a bare text stands in its place."""
    kinds = [f"{{{_RDF}}}{kind}" for kind in ("Bag", "Seq", "Alt")]
    return next(element.iterchildren(*kinds), None)


def _items(container: Any) -> list[Any]:
    return list(container.iterchildren(f"{{{_RDF}}}li"))


def _no_list(of: Property) -> SidecarError:
    return SidecarError(f"its {of.prefix}:{of.name} is no list")


def _append(parent: Any, child: Any) -> None:
    """As the last child, indented as its siblings are, or by one more than its parent."""
    depth = sum(1 for _ in parent.iterancestors())
    if len(parent):
        last = parent[-1]
        child.tail = last.tail
        last.tail = parent.text
    else:
        if not (parent.text or "").strip():
            parent.text = parent.text or "\n" + " " * (depth + 1)
        child.tail = "\n" + " " * depth
    parent.append(child)


def _take_out(child: Any) -> None:
    """Remove an element; the white space that closed its parent goes on closing it."""
    before, parent = child.getprevious(), child.getparent()
    if child.getnext() is None:
        if before is not None:
            before.tail = child.tail
        else:
            parent.text = child.tail
    parent.remove(child)
