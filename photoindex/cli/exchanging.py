"""`backup`, `restore`, `export` and `import-tags`: the way out, and back."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from photoindex.cli import exchange_documents
from photoindex.cli.options import AsJson
from photoindex.cli.session import session_of
from photoindex.errors import ExitCode, UsageError
from photoindex.exchange.naming import Naming
from photoindex.exchange.subjects import Language, root_of
from photoindex.paths import absolute
from photoindex.terminal.json_output import json_line, print_json
from photoindex.terminal.lines import print_text, remark
from photoindex.terminal.progress import Meter, meter
from photoindex.terminal.wording import count, shown, size

if TYPE_CHECKING:
    from photoindex.exchange.sidecar_export import SidecarChange, SidecarOptions
    from photoindex.library import Library

_SHOWN = 10  # sidecars of no photo that are named one by one


class Format(StrEnum):
    """What `export` writes."""

    JSONL = "jsonl"
    CSV = "csv"
    XMP = "xmp"


Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, change nothing.")]
Folders = Annotated[
    list[Path] | None, typer.Argument(metavar="DIR", help="Only in these folders (default: all).")
]


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to make.")],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Back the whole library up into one file.

    A watcher may go on meanwhile. The vector index is left out, as it can be made again, and so
    are models.
    """
    with _tidy_end(), session_of(context).open_library() as library, meter() as progress:
        note = library.exchange.backup(file, force, progress)
    what = f"{count(note.photos, 'photo')}, {size(note.bytes)}"
    remark(f"{shown(absolute(file))}: {what}, checked")
    if as_json:
        print_json(exchange_documents.backup(absolute(file), note))


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Put the library of a backup in place.

    The backup is checked wholly before anything is changed. Refused while another process has the
    library open.
    """
    from photoindex.library import Library

    session = session_of(context)
    settings = session.settings()
    with _tidy_end(), meter() as progress:
        note = Library.restore(file, settings, force, progress)
    made = f"{note.made_at.astimezone():%Y-%m-%d %H:%M}"
    remark(f"{shown(settings.library)}: {count(note.photos, 'photo')} as of {made}")
    here = note.model is None or session.installed_models().folder_of(note.model) is not None
    if not here:
        remark(
            f"its model {shown(str(note.model))} is not on this machine: "
            '"photoindex models pull" or "models import" brings it; searching tags needs none'
        )
    if as_json:
        print_json(exchange_documents.restored(absolute(file), settings.library, note, here))


def export(
    context: typer.Context,
    folders: Folders = None,
    format: Annotated[
        Format,
        typer.Option(
            "--format",
            help="jsonl: everything; csv: photos and their tags, for spreadsheets; xmp: tags into "
            "sidecars beside the photos.",
        ),
    ] = Format.JSONL,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Into a file, whole or not at all."),
    ] = None,
    force: Force = False,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="jsonl: with embeddings in base64.")
    ] = False,
    naming: Annotated[
        Naming | None,
        typer.Option(
            "--naming",
            help="xmp: how new sidecars are named: digikam (IMG_1.jpg.xmp) or lightroom "
            "(IMG_1.xmp). One that is there is used.",
        ),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            metavar="PATH",
            help='xmp: where tags stand in the tree of tags; "" for the top (default: photoindex).',
        ),
    ] = None,
    language: Annotated[
        Language | None, typer.Option("--language", help="xmp: en or zh (default: en).")
    ] = None,
    user_only: Annotated[
        bool, typer.Option("--user-only", help="xmp: only tags that you gave yourself.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write out what the library knows.

    To standard output or a file; as XMP, into a sidecar beside each photo, where what other
    programs wrote is kept and tags that photoindex wrote and no longer shows are taken back.
    """
    for_xmp = {
        "--naming": naming,
        "--root": root,
        "--language": language,
        "--user-only": user_only,
        "--dry-run": dry_run,
    }
    for_files = {"--output": output, "--force": force}
    if format is Format.XMP:
        _refuse({**for_files, "--embeddings": embeddings}, "--format xmp")
        _export_sidecars(context, folders or [], _options(for_xmp), as_json)
        return
    _refuse(for_xmp, f"--format {format}")
    if format is Format.CSV:
        _refuse({"--embeddings": embeddings}, "--format csv")
    if output is None:
        _refuse({"--force": force, "--json": as_json}, "standard output: name a file by --output")
    with _tidy_end(), session_of(context).open_library() as library, meter() as progress:
        with _opened(output, force) as out:
            number = _write(library, out, folders or [], format, embeddings, progress)
        progress.clear()
        where = "" if output is None else f" into {shown(absolute(output))}"
        remark(f"{count(number, 'photo')} exported{where}")
    if as_json and output is not None:
        print_json(exchange_documents.exported(absolute(output), number))


def import_tags(
    context: typer.Context,
    folders: Folders = None,
    whole_paths: Annotated[
        bool,
        typer.Option(
            "--whole-paths", help="Name tags Places/Italy/Sardinia instead of Sardinia alone."
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take over tags that other programs wrote into XMP sidecars.

    From dc:subject, lr:hierarchicalSubject and digiKam:TagsList. What photoindex wrote is passed
    over, and what you took off a photo stays off.
    """
    with session_of(context).open_library() as library, meter() as progress:
        tally = library.exchange.import_tags(folders or [], whole_paths, dry_run, progress)
        progress.clear()
        for path in tally.unmatched[:_SHOWN]:
            remark(f"{shown(path)}: no photo of this library is beside it")
        if len(tally.unmatched) > _SHOWN:
            remark(f"… {len(tally.unmatched) - _SHOWN:,} more of no photo; --json lists all")
        for path, reason in tally.failures:
            remark(f"{shown(path)}: left out: {shown(reason)}")
        would = "would be " if dry_run else ""
        remark(
            f"{count(tally.sidecars, 'sidecar')} read: {count(tally.new, 'tag')} {would}new, "
            f"{tally.known:,} known, {tally.kept_off:,} kept off, {tally.unusable:,} unusable, on "
            f"{count(tally.photos, 'photo')}; {count(len(tally.unmatched), 'sidecar')} of no photo"
        )
    if as_json:
        print_json(exchange_documents.imported(tally, dry_run))
    if tally.failures:
        raise typer.Exit(ExitCode.CANNOT)


@contextmanager
def _tidy_end() -> Iterator[None]:
    """While this lasts, SIGTERM ends the command as Ctrl-C does: half a file is taken away."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    earlier = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _write(
    library: Library,
    out: TextIO,
    folders: list[Path],
    format: Format,
    embeddings: bool,
    progress: Meter,
) -> int:
    """Returns how many photos were written."""
    from photoindex.exchange.export import ExportedPhoto
    from photoindex.exchange.table import write_table

    records = library.exchange.export(folders, embeddings, progress)
    if format is Format.CSV:
        return write_table((one for one in records if isinstance(one, ExportedPhoto)), out)
    number = 0
    for record in records:
        out.write(json_line(exchange_documents.record(record)) + "\n")
        number += isinstance(record, ExportedPhoto)
    return number


@contextmanager
def _opened(output: Path | None, force: bool) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name when it is whole."""
    from photoindex.exchange.writing import check_target, file_errors, written_aside

    if output is None:
        if isinstance(sys.stdout, TextIOWrapper):  # data for programs, whatever a terminal takes
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        yield sys.stdout
        sys.stdout.flush()
        return
    check_target(output, force)
    with (
        file_errors(output),
        written_aside(output) as aside,
        aside.open("w", encoding="utf-8", newline="") as out,
    ):
        yield out


def _export_sidecars(
    context: typer.Context, folders: list[Path], options: SidecarOptions, as_json: bool
) -> None:
    listed: list[SidecarChange] = []
    seen = created = changed = failed = 0
    with session_of(context).open_library() as library, meter() as progress:
        for change in library.exchange.write_sidecars(folders, options, progress):
            seen += 1
            created += change.created
            changed += change.changed
            failed += change.failure is not None
            if change.failure is not None or (options.dry_run and change.changed):
                progress.pause()
                _tell(change, as_json)
                if as_json:
                    listed.append(change)
        progress.clear()
        would = "would be " if options.dry_run else ""
        remark(
            f"{count(seen, 'file')}: {count(created, 'sidecar')} {would}made, "
            f"{changed - created:,} {would}changed, {seen - changed - failed:,} as they should be"
            + (f", {failed:,} left alone" if failed else "")
        )
    if as_json:
        figures = {"files": seen, "created": created, "changed": changed - created}
        print_json(exchange_documents.sidecars(figures, listed, options.dry_run))
    if failed:
        raise typer.Exit(ExitCode.CANNOT)


def _tell(change: SidecarChange, as_json: bool) -> None:
    where = shown(change.sidecar)
    if change.failure is not None:
        remark(f"{where}: left alone: {shown(change.failure)}")
    elif not as_json:
        signed = (*(f"+{name}" for name in change.added), *(f"-{n}" for n in change.withdrawn))
        print_text(f"{where}: {shown(', '.join(signed)) or 'its place in the tree of tags'}")


def _options(given: Mapping[str, object]) -> SidecarOptions:
    from photoindex.exchange.sidecar_export import DEFAULT_ROOT, SidecarOptions

    root = given["--root"]
    return SidecarOptions(
        Naming(str(given["--naming"] or Naming.DIGIKAM)),
        DEFAULT_ROOT if root is None else root_of(str(root)),
        Language(str(given["--language"] or Language.ENGLISH)),
        bool(given["--user-only"]),
        bool(given["--dry-run"]),
    )


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse options that were given though they mean nothing here."""
    for option, value in options.items():
        if value not in (None, False):
            raise UsageError(f"{option} does not go with {why}")
