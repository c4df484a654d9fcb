"""Files with changed bytes are read right, read as what they now say, or refused in a sentence.

A few changes to HDF5's own structures (about one in a thousand) keep its library busy for ever,
which nothing in this process could end: another one reads.
"""

import gzip
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import make_adata
from neuralNMF.io.h5 import write_h5

COUNTS = sp.csr_matrix(np.random.default_rng(0).poisson(0.7, (23, 11)).astype(np.float32))
GENES = [f"MT-{j}" for j in range(11)]
CELLS = [f"cell{i}" for i in range(23)]


SEEDS, SECONDS, HUNG = 80, 45, 2

# Reads each file that it is given and prints a line: how it ended.
READER = """
import sys, warnings
import numpy as np
from neuralNMF.errors import NeuralNMFError
from neuralNMF.io.counts import open_counts
warnings.simplefilter("error")
for path in sys.argv[1:]:
    try:
        with open_counts(path) as reader:
            parts = [counts.data for _, counts in reader.chunks(10)]
        data = np.concatenate(parts)
        outcome = "read" if np.isfinite(data).all() and (data > 0).all() else "WRONG_VALUES"
    except NeuralNMFError as error:
        one = str(error).endswith(".") and len(str(error).splitlines()) == 1
        outcome = "refused" if one else "NO_SENTENCE"
    except BaseException as error:
        outcome = f"TRACEBACK {error!r}"
    print(outcome, path, flush=True)
"""


def sound(kind):
    """The files of a sound input of each kind: which one is changed, and all by their names."""
    if kind == "h5":
        return "x.h5", {"x.h5": lambda path: write_h5(path, CELLS, GENES, COUNTS)}
    if kind == "h5ad":
        data = make_adata(COUNTS.toarray(), kind=["x", "y"] * 11 + ["x"])
        return "x.h5ad", {"x.h5ad": data.write_h5ad}
    if kind == "csv":
        table = pd.DataFrame(COUNTS.toarray().astype(int), CELLS, GENES).to_csv()
        return "x.csv", {"x.csv": lambda path: path.write_text(table)}
    entries = COUNTS.tocoo()
    body = "".join(
        f"{j + 1} {i + 1} {int(n)}\n"
        for i, j, n in zip(entries.row, entries.col, entries.data, strict=True)
    )
    text = f"%%MatrixMarket matrix coordinate integer general\n11 23 {entries.nnz}\n{body}".encode()
    genes = "\n".join(f"{gene}\t{gene}" for gene in GENES)
    matrix = "matrix.mtx" if kind == "genes.tsv" else f"matrix.{kind}"
    packed = gzip.compress(text) if kind == "mtx.gz" else text
    return kind if kind == "genes.tsv" else matrix, {
        matrix: lambda path: path.write_bytes(packed),
        "genes.tsv": lambda path: path.write_text(genes),
        "barcodes.tsv": lambda path: path.write_text("\n".join(CELLS)),
    }


def inputs(kind, folder):
    """A sound input, and one with changed bytes for each seed."""
    changed, files = sound(kind)
    paths = []
    for seed in (None, *range(SEEDS)):
        here = folder / str(seed)
        here.mkdir()
        for name, write in files.items():
            write(here / name)
        if seed is not None:
            whole = (here / changed).read_bytes()
            (here / changed).write_bytes(mutated(whole, np.random.default_rng(seed)))
        paths.append(here / changed if len(files) == 1 else here)
    return paths


def mutated(whole, rng):
    """Flip some bits, write some bytes anew, cut off the end, or fill a stretch."""
    data = bytearray(whole)
    how = rng.integers(4)
    if how == 0:
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            data[place] ^= 1 << rng.integers(8)
    elif how == 1:
        for place in rng.integers(len(data), size=rng.integers(1, 20)):
            data[place] = rng.integers(256)
    elif how == 2:
        del data[rng.integers(len(data)) :]
    else:
        place, length = rng.integers(len(data)), int(rng.integers(1, 64))
        data[place : place + length] = bytes([rng.choice([0, 32, 255])]) * length
    return bytes(data)


@pytest.mark.parametrize("kind", ["h5", "h5ad", "mtx", "mtx.gz", "genes.tsv", "csv"])
def test_changed_bytes(tmp_path, kind):
    waiting, lines, hung = inputs(kind, tmp_path), [], 0
    while waiting:
        command = [sys.executable, "-c", READER, *map(str, waiting)]
        try:
            text = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS).stdout
        except subprocess.TimeoutExpired as error:
            text, hung = (error.stdout or b"").decode(), hung + 1
        done = text.splitlines()
        assert len(done) == len(waiting) or hung, "the reader died"
        lines += done
        waiting = waiting[len(done) + 1 :]
    assert hung <= HUNG
    outcomes = [line.split()[0] for line in lines]
    assert outcomes[0] == "read"
    assert set(outcomes) <= {"read", "refused"}, [
        line for line in lines if line.split()[0].isupper()
    ]
    assert outcomes.count("refused") > SEEDS / 5
