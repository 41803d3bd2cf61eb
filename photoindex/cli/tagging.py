"""`tags`, `tag` and `untag`: what is said of photos, and saying it oneself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photoindex.cli import documents, render
from photoindex.cli.options import AsJson
from photoindex.cli.session import session_of
from photoindex.terminal.json_output import print_json
from photoindex.terminal.wording import count, shown, words

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Files of photos.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The tag, the last of the words.")]


def tags(
    context: typer.Context,
    photo: Annotated[Path | None, typer.Argument(help="A photo (default: all photos).")] = None,
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", min=1, help="Tags at most, for all photos.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="A photo's tags below their thresholds, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List a photo's tags, or all tags.

    Without PHOTO: every tag that photos show, the commonest first.
    """
    with session_of(context).open_library() as library:
        if photo is None:
            counts = library.tags(limit)
            if as_json:
                print_json(documents.tag_counts(counts))
            elif counts:
                render.tag_counts(counts)
            else:
                typer.echo("no tags yet: photoindex index FOLDER makes them", err=True)
            return
        record, found = library.photo(photo), library.tags_of(photo, everything)
    if as_json:
        print_json(documents.photo_tags(record, found))
    elif found:
        render.photo_tags(found)
    else:
        typer.echo("no tags above their thresholds: --all shows the others", err=True)


def tag(context: typer.Context, photos: Photos, name: Name, as_json: AsJson = False) -> None:
    """Give photos a tag of your own.

    Nothing automatic takes it away.
    """
    with session_of(context).open_library() as library:
        library.tag(photos, name)
    typer.echo(f"{count(len(photos), 'photo')} tagged {shown(words(name))}", err=True)
    if as_json:
        print_json(documents.tagged(words(name), photos))


def untag(context: typer.Context, photos: Photos, name: Name, as_json: AsJson = False) -> None:
    """Take a tag off photos; it stays off.

    Whoever gave it: a model that sees it again does not bring it back.
    """
    with session_of(context).open_library() as library:
        library.untag(photos, name)
    typer.echo(f"{shown(words(name))} taken off {count(len(photos), 'photo')}", err=True)
    if as_json:
        print_json(documents.tagged(words(name), photos))
