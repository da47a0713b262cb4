"""Folders as tar streams: what goes in comes out, and nothing but plain files ever does."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heredity.errors import UsageError
from heredity.service import archive
from heredity.service.archive import BLOCK, pack, unpack

LIMIT_BYTES = 10_000_000

PARTS = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=60
).filter(lambda part: part not in (".", "..") and len(part.encode()) <= 255)
NAMES = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
TREES = st.dictionaries(NAMES, st.binary(max_size=2000), max_size=6).filter(
    lambda tree: not any(b.startswith(f"{a}/") for a in tree for b in tree)
)


def write(folder: Path, tree: dict[str, bytes]) -> None:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def read(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive")


def fresh(place: Path) -> Path:
    folder = place / str(len(list(place.iterdir())))
    folder.mkdir()
    return folder


@settings(max_examples=40)
@given(tree=TREES, size=st.integers(1, 3000))
def test_what_goes_in_comes_out(place: Path, tree: dict[str, bytes], size: int) -> None:
    source, target = fresh(place), fresh(place)
    write(source, tree)
    unpack(pieces(b"".join(pack(source)), size), target, LIMIT_BYTES)
    assert read(target) == tree


@settings(max_examples=40)
@given(tree=TREES)
def test_any_tar_reads_it(place: Path, tree: dict[str, bytes]) -> None:
    source = fresh(place)
    write(source, tree)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(source)))) as tar:
        found = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    assert found == tree


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_it_reads_what_any_tar_makes_of_plain_files(tmp_path: Path, format: int) -> None:
    tree = {"weights.bin": bytes(1000), "deep/er/x.json": b"{}", "d" * 90 + "/" + "n" * 90: b"long"}
    if format == tarfile.GNU_FORMAT:
        tree.popitem()  # its own kind of header for long names is none of ours
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as tar:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    unpack([stream.getvalue()], tmp_path, LIMIT_BYTES)
    assert read(tmp_path) == tree


def test_the_file_to_skip_is_skipped_only_at_the_top(tmp_path: Path) -> None:
    source, target = fresh(tmp_path), fresh(tmp_path)
    write(source, {"manifest.json": b"1", "deep/manifest.json": b"2"})
    unpack(pack(source, skip="manifest.json"), target, LIMIT_BYTES)
    assert read(target) == {"deep/manifest.json": b"2"}


def test_a_file_of_more_than_eight_gigabytes_has_its_size_in_an_extended_header() -> None:
    header = archive._headers("weights.bin", 9 << 30)
    assert b" size=9663676416\n" in header
    assert len(header) == 3 * BLOCK


# What is refused ---------------------------------------------------------------------------


def one(name: str, content: bytes = b"x", **changes: object) -> bytes:
    """An archive with one member, as an attacker may make it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for field, value in changes.items():
            setattr(info, field, value)
        tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


HOSTILE = {
    "an absolute path": one("/tmp/evil"),
    "a path of thousands of characters": one("/".join(["deep"] * 1600)),
    "a path that is a little too long": one("/".join(["d" * 90] * 12)),
    "a path that leads out": one("../evil"),
    "a path that leads out on the way": one("a/../../evil"),
    "a dot": one("./a"),
    "nothing between slashes": one("a//b"),
    "a name that ends in a slash": one("a/"),
    "no name": one(""),
    "a long path that leads out": one("../" * 60 + "evil"),
    "a long absolute path": one("/" + "a" * 200),
    "too long a part": one("a" * 300),
    "a symbolic link": one("a", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": one("a", b"", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "a device": one("a", b"", type=tarfile.CHRTYPE),
    "a block device": one("a", b"", type=tarfile.BLKTYPE),
    "a pipe": one("a", b"", type=tarfile.FIFOTYPE),
    "a folder": one("a", b"", type=tarfile.DIRTYPE),
    "a sparse file": one("a", b"", type=tarfile.GNUTYPE_SPARSE),
    "a header of its own kind": one("a", b"", type=b"Q"),
    "a huge extended header": one("a", b"x", pax_headers={"comment": "y" * 50_000}),
    "no archive": b"PK\x03\x04" + bytes(2000),
    "nothing": b"",
    "the same name twice": one("a")[: 2 * BLOCK] + one("a"),
    "a file where a folder is": one("a/b")[: 2 * BLOCK] + one("a"),
    "a folder where a file is": one("a")[: 2 * BLOCK] + one("a/b"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_else_is_written(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(UsageError):
        unpack([HOSTILE[kind]], folder, LIMIT_BYTES)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert not any(path.is_symlink() for path in folder.rglob("*"))


@settings(max_examples=40)
@given(cut=st.integers(0, 5 * BLOCK))
def test_a_stream_that_is_cut_short_is_refused(place: Path, cut: int) -> None:
    source, target = fresh(place), fresh(place)
    write(source, {"a": bytes(700), "ä": b"x"})
    whole = b"".join(pack(source))
    with pytest.raises(UsageError):
        unpack([whole[: min(cut, len(whole) - 2 * BLOCK)]], target, LIMIT_BYTES)


@settings(max_examples=40)
@given(at=st.integers(0, 147), to=st.integers(1, 255))
def test_a_damaged_header_is_refused(place: Path, at: int, to: int) -> None:
    data = bytearray(one("name"))
    data[at] ^= to
    with pytest.raises(UsageError):
        unpack([bytes(data)], fresh(place), LIMIT_BYTES)


def test_a_stream_over_the_limit_ends_there(tmp_path: Path) -> None:
    taken = 0

    def endless() -> Iterable[bytes]:
        nonlocal taken
        yield one("a", bytes(100_000))[:BLOCK]
        while True:
            taken += 1000
            yield bytes(1000)

    with pytest.raises(UsageError, match="larger than 20,000 bytes"):
        unpack(endless(), tmp_path, 20_000)
    assert taken <= 21_000


def test_what_follows_the_end_counts_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="larger than"):
        unpack([one("a"), *[bytes(1000)] * 100], tmp_path, 20_000)
