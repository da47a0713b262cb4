"""One file holds a population; what it holds is compared before it is believed."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from populations import same

from heredity.errors import CheckpointError
from heredity.jax.layout import outline
from heredity.jax.saved import FILE, SavedRows, read_row, read_rows, stacked

TREE = {
    "half": jnp.array([1.5, jnp.nan], jnp.bfloat16),
    "complex": jnp.array(1 + 2j, jnp.complex64),
    "flag": jnp.array(True),
    "deep": [jnp.arange(6.0).reshape(2, 3), (jnp.array(-0.0),)],
    "none": None,
    "empty": jnp.zeros((0, 2)),
    "name": "fixed",
}
LAYOUT = outline(lambda: TREE)
ROWS = [np.stack([np.asarray(a)] * 3) for a in LAYOUT.pack(TREE, "init")]
ROWS[-1] = ROWS[-1] + np.arange(3).reshape(-1, *[1] * (ROWS[-1].ndim - 1)).astype(ROWS[-1].dtype)


def saved(directory: Path, *kept: int) -> SavedRows:
    """Three rows, and slots 0 to 2 that hold rows 2, 1 and 0 if they are kept."""
    slots = [array[::-1] for array in ROWS]
    rows = SavedRows(LAYOUT, stacked(ROWS, slots, kept), 3, kept)
    rows.write(directory)
    return rows


@pytest.mark.parametrize("kept", [(), (0,), (0, 1, 2)])
def test_every_dtype_and_shape_comes_back_bitwise(tmp_path: Path, kept: tuple[int, ...]) -> None:
    rows = saved(tmp_path, *kept)
    read = read_rows(tmp_path, LAYOUT)
    assert (read.population, read.kept) == (3, kept)
    assert same(read.arrays, rows.arrays)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_row_is_read_alone(tmp_path: Path) -> None:
    saved(tmp_path, 0, 2)
    for row, place in [(0, 0), (2, 2), (-1, 2), (-3, 0)]:
        assert same(read_row(tmp_path, LAYOUT, row), [array[place] for array in ROWS])


@pytest.mark.parametrize("row", [3, -2, -4], ids=["no member", "an empty slot", "no slot"])
def test_a_row_that_is_not_there_is_an_error(tmp_path: Path, row: int) -> None:
    saved(tmp_path, 0, 2)
    with pytest.raises(CheckpointError, match=f"no row {row} of 3"):
        read_row(tmp_path, LAYOUT, row)


def test_copies_on_the_host_share_no_memory_with_the_device() -> None:
    array = jnp.arange(4.0)
    copy = stacked([array], [], ())[0]
    assert not np.shares_memory(copy, np.asarray(array))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flag": jnp.array(1)}, r"\['bool', \[\]\] at \['flag'\] where init makes \['int32'"),
        ({"more": jnp.zeros(2)}, r"nothing at \['more'\] where init makes"),
    ],
)
def test_a_file_of_another_state_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    saved(tmp_path)
    other = outline(lambda: {**TREE, **change})
    for read in (lambda: read_rows(tmp_path, other), lambda: read_row(tmp_path, other, 0)):
        with pytest.raises(CheckpointError, match=words):
            read()


def test_a_checkpoint_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"no {FILE} in the checkpoint"):
        read_rows(tmp_path, LAYOUT)


def test_a_layout_gives_the_pytree_back() -> None:
    again = LAYOUT.unpack(LAYOUT.pack(TREE, "init"))
    assert jax.tree.structure(again) == jax.tree.structure(TREE)
    assert again["name"] == "fixed"
    assert again["deep"][0] is not None
    assert LAYOUT.names[:2] == ("['complex']", "['deep'][0]")
