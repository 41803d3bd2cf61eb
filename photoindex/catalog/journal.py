"""Whether SQLite's write-ahead log can work where a file lies."""

from __future__ import annotations

from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    "9p afs afpfs ceph cifs davfs fuse.davfs2 fuse.glusterfs fuse.rclone fuse.sshfs glusterfs"
    " lustre ncpfs nfs nfs4 smb2 smb3 smbfs vboxsf".split()
)


def network_file_system(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """The kind of network file system that holds `path`, or None for a local one.

    Write-ahead logging needs memory shared between processes, which no network file system gives,
    though some pretend to (sqlite.org/wal.html). Where the system keeps no mount table in the
    format of proc(5), the answer is None.
    """
    if not mounts.exists():
        return None
    resolved = path.resolve()
    best: tuple[int, str] = (-1, "")
    for line in mounts.read_text("utf-8", "surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        point = Path(_unescape(before.split()[4]))
        # Of several mounts on one folder the later hides the earlier, hence >=.
        if resolved.is_relative_to(point) and len(point.parts) >= best[0]:
            best = (len(point.parts), after.split()[0])
    return best[1] if best[1] in _NETWORK else None


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
