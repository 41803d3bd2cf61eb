"""What picture formats there are: how their first bytes look, what extensions say beforehand."""

from __future__ import annotations

import os
import re
import stat
from enum import Enum

HEAD_SIZE = 32  # bytes that `sniff` wants to see

_PICTURE = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .tif .tiff .gif .bmp .dib "
    ".jp2 .j2k .j2c .jpc .jpf .jpx .pbm .pgm .ppm .pnm .avif .avifs .heic .heif .hif .heics".split()
)

# Known to be something else, so never opened to find out. Raw camera files look like TIFF from
# their first bytes; unfinished downloads look like what they will be.
_OTHER = frozenset(
    ".txt .md .rst .json .jsonl .xml .html .htm .css .js .ts .py .pyc .c .h .cpp .rs .go .java .sh "
    ".csv .tsv .log .ini .cfg .conf .toml .yaml .yml .pdf .doc .docx .odt .xls .xlsx .ods .ppt "
    ".pptx .odp .rtf .tex .svg .svgz .eps .ps .ai .psd .psb .xcf .kra .ico .icns .ttf .otf .woff "
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .mts .m2ts .3gp .wmv .flv .ogv .lrv .thm .insv "
    ".mp3 .m4a .aac .flac .ogg .opus .wav .wma .aiff .mid .srt .vtt "
    ".zip .7z .rar .tar .gz .bz2 .xz .zst .tgz .iso .dmg .jar .deb .rpm .exe .dll .so .bin .dat "
    ".db .sqlite .sqlite3 .lrcat .lrdata .lock .pth .pt .safetensors .npy .npz .faiss .pkl "
    ".xmp .aae .pp3 .dop .cos .nfo .url .lnk .desktop .bak "
    ".dng .raw .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .dcr .kdc .mrw .x3f "
    ".3fr .fff .iiq .erf .rwl .gpr "
    ".part .partial .filepart .crdownload .download .tmp .temp .swp".split()
)

_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_BMP_HEADER_SIZES = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
_PNM_HEAD = re.compile(rb"P[1-6]\s+[#0-9]")


class Hint(Enum):
    """What a file's name says about its content."""

    PICTURE = "picture"
    OTHER = "other"
    UNKNOWN = "unknown"


def hint(name: str) -> Hint:
    """What the extension of a file name promises; only UNKNOWN is worth a look inside."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  (names are strings while walking)
    if suffix in _PICTURE:
        return Hint.PICTURE
    return Hint.OTHER if suffix in _OTHER else Hint.UNKNOWN


def sniff(head: bytes) -> str | None:
    """Pillow's name of the format that the first HEAD_SIZE bytes of a file belong to, or None."""
    for magic, name in (
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"II+\0", "TIFF"),
        (b"MM\0+", "TIFF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
        (b"\xff\x4f\xff\x51", "JPEG2000"),
    ):
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    return "PPM" if _PNM_HEAD.match(head) else None


def _iso_media(head: bytes) -> str | None:
    """AVIF or HEIF by the brands of an ISO base media file (ISO 14496-12, `ftyp`), else None."""
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, len(head) - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def is_picture_file(path: str) -> bool:
    """Whether a regular file may be a picture: by its extension, else by its first bytes.

    A file that cannot be opened counts as none unless its extension says so.
    """
    known = hint(path)
    if known is not Hint.UNKNOWN:
        return known is Hint.PICTURE
    try:
        # Never waits, whatever lies there by now (a pipe would block).
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return regular and sniff(os.read(descriptor, HEAD_SIZE)) is not None
    except OSError:
        return False
    finally:
        os.close(descriptor)
