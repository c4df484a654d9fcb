"""The column of labels: text that stands for a missing value is no label, and that is said."""

import pandas as pd
import pytest
from neuralNMF.dataset.count_cells import count_cells
from neuralNMF.errors import InputError
from neuralNMF.labels import label_column, label_names
from neuralNMF.poisson.labels import encode_labels

WORDS = ["a", "nan", "NA", "b", None, "<NA>", " ", "None"]


@pytest.mark.parametrize("dtype", [object, "category", "string"])
def test_text_of_missing_values(caplog, dtype):
    obs = pd.DataFrame({"kind": pd.Series(WORDS, dtype=dtype)})
    found = label_column(obs, "kind")
    assert list(found.dropna()) == ["a", "b", "None"] and found.dtype.name == obs["kind"].dtype.name
    assert "kind: ' ', '<NA>', 'NA', 'nan' of 4 cells is no label" in caplog.text
    assert encode_labels(found.tolist()).classes == ["None", "a", "b"]
    table = count_cells(obs.assign(dataset="s", total_counts=1.0), {"label": "kind"})
    assert dict(zip(table["label"], table["cells"], strict=True)) == {
        "a": 1, "b": 1, "None": 1, "no label": 5,
    }  # fmt: skip
    assert sorted(label_names(found)[found.notna()]) == ["None", "a", "b"]


def test_a_column_without_such_text_is_given_as_it_is(caplog):
    obs = pd.DataFrame({"kind": ["nanog", "NAT"], "number": [1.0, float("nan")]})
    assert label_column(obs, "kind") is obs["kind"] or label_column(obs, "kind").equals(obs["kind"])
    assert label_column(obs, "number").equals(obs["number"]) and not caplog.text
    with pytest.raises(InputError, match="the columns are: kind, number"):
        label_column(obs, "other")
