"""The kind of file system is that of the innermost mount."""

from pathlib import Path

import pytest

from heredity.stores.filesystem import (
    NETWORK,
    filesystem_type,
    mounts,
    parse_bsd,
    parse_linux,
    type_among,
)

LINUX = r"""/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
tmpfs /home/me/local tmpfs rw 0 0
me@host:/x /mnt/my\040data\134here fuse.sshfs rw 0 0
/dev/vdb /mnt/twice ext4 rw 0 0
//nas/share /mnt/twice cifs rw 0 0
"""

MACOS = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//me@nas/share on /Volumes/my share (1) (smbfs, nodev, nosuid, mounted by me)
nas:/export on /Volumes/nfs (nfs)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/homes/me", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/runs", "nfs4"),
        ("/home/me/local/runs", "tmpfs"),
        ("/mnt/my data\\here/runs", "fuse.sshfs"),
        ("/mnt/twice/runs", "cifs"),
    ],
)
def test_linux(path: str, kind: str) -> None:
    assert type_among(parse_linux(LINUX), Path(path)) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/Users/me", "apfs"), ("/Volumes/my share (1)/x", "smbfs"), ("/Volumes/nfs/runs", "nfs")],
)
def test_macos(path: str, kind: str) -> None:
    assert type_among(parse_bsd(MACOS), Path(path)) == kind


def test_network_kinds_are_told_from_local_ones() -> None:
    assert {"nfs", "nfs4", "cifs", "smbfs", "fuse.sshfs", "lustre"} <= NETWORK
    assert not {"ext4", "xfs", "btrfs", "zfs", "apfs", "tmpfs", "overlay", ""} & NETWORK


def test_nothing_is_said_where_no_mount_is_known() -> None:
    assert type_among([], Path("/home")) == ""


def test_this_machine_says_what_it_has(tmp_path: Path) -> None:
    assert Path("/") in {place for place, _ in mounts()}
    link = tmp_path / "link"
    link.symlink_to("/")
    assert filesystem_type(link) == filesystem_type(Path("/")) != ""
