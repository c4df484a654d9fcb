"""Tables and the like read without AnnData are what AnnData reads."""

import subprocess
import sys

import anndata.io
import h5py
import numpy as np
import pandas as pd
import pytest
from neuralNMF.io.elements import read_elem

TABLE = pd.DataFrame(
    {
        "number": [1.5, np.nan, 3.0],
        "whole": np.array([1, 2, 3], dtype=np.int8),
        "flag": [True, False, True],
        "word": np.array(["ä", "", "c"], dtype=object),
        "kind": pd.Categorical(["b", None, "a"], categories=["b", "a", "c"]),
        "level": pd.Categorical(["low", "high", "low"], ["low", "high"], ordered=True),
    },
    index=["c1", "c2", "c3"],
)
# Encodings that are left to AnnData.
OTHER = TABLE.assign(missing=pd.array([1, None, 3], dtype="Int64"))


@pytest.mark.parametrize(
    "table",
    [TABLE, OTHER, TABLE[[]], TABLE.iloc[:0], TABLE.rename_axis("cell")],
    ids=["plain", "nullable", "no columns", "no rows", "named index"],
)
def test_tables(tmp_path, table):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        anndata.io.write_elem(file, "table", table)
        found = read_elem(file["table"])
        pd.testing.assert_frame_equal(found, anndata.io.read_elem(file["table"]))
        pd.testing.assert_frame_equal(found, table, check_column_type=False)


def test_dictionaries(tmp_path):
    values = {"name": "x", "size": 3, "share": 0.5, "yes": True, "inner": {"a": np.eye(2)}}
    with h5py.File(tmp_path / "file.h5", "w") as file:
        anndata.io.write_elem(file, "values", values)
        found = read_elem(file["values"])
    np.testing.assert_array_equal(found["inner"].pop("a"), np.eye(2))
    assert found == {**values, "inner": {}}
    assert [type(found[key]) for key in ("size", "share", "yes")] == [int, float, bool]


def test_anndata_is_not_imported(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        anndata.io.write_elem(file, "table", TABLE)
    code = (
        "import sys, h5py\n"
        "from neuralNMF.io.elements import read_elem\n"
        f"assert len(read_elem(h5py.File({str(tmp_path / 'file.h5')!r})['table'])) == 3\n"
        "assert 'anndata' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
