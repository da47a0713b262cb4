"""Growing columns."""

import numpy as np
import pytest

from heredity.evolution.columns import Column


@pytest.mark.parametrize("width", [None, 1, 3])
@pytest.mark.parametrize("given", [0, 1, 64, 200])
def test_a_column_grows_from_any_size(given, width):
    shape = (given,) if width is None else (given, width)
    column = Column.of(np.arange(np.prod(shape), dtype=np.float64).reshape(shape), -1.0)
    expected = column.values.tolist()
    for number in range(300):
        if number % 3:
            column.append(float(number))
            expected.append(float(number) if width is None else [float(number)] * width)
        else:
            column.extend()
            expected.append(-1.0 if width is None else [-1.0] * width)
        column[0] = column[0]
    assert len(column) == given + 300
    assert column.values.tolist() == expected


def test_rows_are_read_and_written_in_place():
    column = Column(np.int64, -1)
    for value in range(100):
        column.append(value)
    column[3] = 7
    assert column[np.array([2, 3, 99])].tolist() == [2, 7, 99]
    assert column.values.shape == (100,)
