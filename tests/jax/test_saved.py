"""One file holds a population; what it holds is compared before it is believed."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from populations import same

from heredity.errors import CheckpointError
from heredity.executors.program import BEST
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


def saved(directory: Path, best: bool = True) -> SavedRows:
    row = [array[1] for array in ROWS] if best else None
    rows = SavedRows(LAYOUT, stacked(ROWS, row), 3)
    rows.write(directory)
    return rows


@pytest.mark.parametrize("best", [True, False])
def test_every_dtype_and_shape_comes_back_bitwise(tmp_path: Path, best: bool) -> None:
    rows = saved(tmp_path, best)
    arrays, population, has_best = read_rows(tmp_path, LAYOUT)
    assert (population, has_best) == (3, best)
    assert same(arrays, rows.arrays)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_row_is_read_alone(tmp_path: Path) -> None:
    rows = saved(tmp_path)
    for row, place in [(0, 0), (2, 2), (BEST, 3)]:
        assert same(read_row(tmp_path, LAYOUT, row), [array[place] for array in rows.arrays])
    with pytest.raises(CheckpointError, match="no row 3 of 3"):
        read_row(tmp_path, LAYOUT, 3)


def test_without_a_best_row_there_is_none_to_read(tmp_path: Path) -> None:
    saved(tmp_path, best=False)
    with pytest.raises(CheckpointError, match="no row -1"):
        read_row(tmp_path, LAYOUT, BEST)


def test_copies_on_the_host_share_no_memory_with_the_device() -> None:
    array = jnp.arange(4.0)
    copy = stacked([array], None)[0]
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
