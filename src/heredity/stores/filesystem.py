"""What kind of file system a path is on. SQLite's locks do not hold across machines.

This file knows mount tables and nothing of stores.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# fmt: off
NETWORK = frozenset({
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "fhgfs", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2", "smb2", "smb3", "smbfs", "webdav", "wekafs",
    "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs",
    "fuse.sshfs",
})
# fmt: on
"""Names that Linux and macOS give to file systems shared between machines."""

Mount = tuple[Path, str]
"""Where something is mounted, and the kind of file system."""


def filesystem_type(path: Path) -> str:
    """The kind of file system that `path` is or would be on; "" where the system does not say."""
    return type_among(mounts(), path.resolve())


def type_among(table: list[Mount], path: Path) -> str:
    """The kind of the innermost mount that holds `path`; of two at one place, the later one."""
    holding = [mount for mount in table if path.is_relative_to(mount[0])]
    if not holding:
        return ""
    deepest = max(len(place.parts) for place, _ in holding)
    return [kind for place, kind in holding if len(place.parts) == deepest][-1]


def mounts() -> list[Mount]:
    """Everything mounted here, in order; empty where it cannot be told."""
    try:
        if sys.platform == "darwin":
            shown = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5)
            return parse_bsd(shown.stdout)
        return parse_linux(Path("/proc/self/mounts").read_text(errors="surrogateescape"))
    except (OSError, subprocess.TimeoutExpired):
        return []


def parse_linux(text: str) -> list[Mount]:
    r"""Lines of `device place kind options`; blanks in a place are written as octal `\040`."""
    rows = [line.split(" ") for line in text.splitlines()]
    return [(Path(_unescape(row[1])), row[2]) for row in rows if len(row) > 2]


def parse_bsd(text: str) -> list[Mount]:
    """Lines of `device on place (kind, options)`."""
    found = re.findall(r"^.*? on (.*) \((\w+)[^()]*\)$", text, flags=re.MULTILINE)
    return [(Path(place), kind) for place, kind in found]


def _unescape(place: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place)
