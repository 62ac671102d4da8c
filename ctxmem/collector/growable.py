"""Parallel numpy columns that grow at the end: the shape of everything the collector computes on.

Invariants:
    I1. All columns of a table have the same length; a row is one index in all of them.
    I2. A growth is one assignment, and a row is there once all its values are: an interrupt leaves no column short.
    I3. `table["name"]` is a view of the rows in use: writing through it writes the table; it is stale after a growth.
Does not know what the columns mean.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FIRST_ROWS = 64


class Growable:
    """A table of named numpy columns; `append` is O(columns), amortised.

    >>> table = Growable({"id": "<i8", "tokens": "<i4"})
    >>> table.append(7, 100), table.append(8, 50)
    (0, 1)
    >>> int(table["tokens"].sum())
    150
    """

    __slots__ = ("_columns", "_n_rows", "_names")

    def __init__(self, types: Mapping[str, str]) -> None:
        self._names = tuple(types)
        self._columns: dict[str, Array] = {name: np.zeros(_FIRST_ROWS, np.dtype(kind)) for name, kind in types.items()}
        self._n_rows = 0

    def __len__(self) -> int:
        return self._n_rows

    def __getitem__(self, name: str) -> Array:
        return self._columns[name][: self._n_rows]

    def append(self, *values: float) -> int:
        """Add one row, its values in the order of the columns, and return its index."""
        row = self._n_rows
        if row == len(self._columns[self._names[0]]):
            self._columns = {n: np.concatenate([c, np.zeros_like(c)]) for n, c in self._columns.items()}
        for name, value in zip(self._names, values, strict=True):
            self._columns[name][row] = value
        self._n_rows = row + 1
        return row

    def copy(self) -> "Growable":
        """Return a table that shares nothing with this one; O(rows)."""
        twin = Growable({})
        for name in self.__slots__:
            value = getattr(self, name)
            setattr(twin, name, {n: c.copy() for n, c in value.items()} if name == "_columns" else value)
        return twin

    def keep(self, rows: Array) -> None:
        """Leave only these rows (a bool mask or indices), in their order."""
        kept = {name: self[name][rows] for name in self._names}
        columns = {name: np.concatenate([rows, np.zeros(_FIRST_ROWS, rows.dtype)]) for name, rows in kept.items()}
        self._columns, self._n_rows = columns, len(kept[self._names[0]])

    def pack(self) -> dict[str, bytes]:
        """Give each column as little-endian bytes."""
        return {name: self[name].tobytes() for name in self._names}

    @classmethod
    def unpack(cls, types: Mapping[str, str], packed: Mapping[str, bytes]) -> "Growable":
        """Rebuild from `pack`; a column that was not there then is zero."""
        table = cls(types)
        n_rows = max(
            (len(packed[name]) // np.dtype(kind).itemsize for name, kind in types.items() if name in packed), default=0
        )
        for name, kind in types.items():
            column = np.zeros(n_rows + _FIRST_ROWS, np.dtype(kind))
            if name in packed:
                column[:n_rows] = np.frombuffer(packed[name], np.dtype(kind))
            table._columns[name] = column
        table._n_rows = n_rows
        return table
