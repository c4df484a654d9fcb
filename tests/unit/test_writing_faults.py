"""A disk that is full or read only: one sentence, nothing half-written, and then the same bytes."""

import errno
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.sparse as sp
from matplotlib.figure import Figure
from neuralNMF.errors import InputError, OutputError
from neuralNMF.io import atomic, strays, temporary_file
from neuralNMF.io.atomic import atomic_path
from neuralNMF.io.figures import save_figure
from neuralNMF.io.sort_by_cell import sort_by_cell
from neuralNMF.io.temporary_file import TemporaryArray

# Every writer of the library, each with 64 KiB of room: files larger than that are refused.
WRITERS = """
import resource, sys
from pathlib import Path
import numpy as np, pandas as pd, scipy.sparse as sp
from neuralNMF.errors import OutputError
from neuralNMF.io.choice import save_layers
from neuralNMF.io.dataset import DatasetWriter, write_dataset
from neuralNMF.io.h5 import write_h5
from neuralNMF.io.model import Model, save_model
from neuralNMF.io.simulation import save_simulation
from neuralNMF.io.tables import write_gene_sets, write_table
from neuralNMF.simulate import simulate

here, rng = Path(sys.argv[1]), np.random.default_rng(0)
counts = sp.csr_matrix(rng.poisson(1.0, (400, 200)).astype(np.float32))
cells, genes = [f"c{i}" for i in range(400)], [f"g{j}" for j in range(200)]
obs, var = pd.DataFrame(index=cells), pd.DataFrame(index=genes)
usage, programs = rng.random((400, 30)), rng.dirichlet(np.ones(200), 30)
model = Model([usage], [programs], [np.zeros(30, bool)], obs, var)
drawn = simulate(400, 200, 5, "block", rng=rng)

def chunks(path):
    with DatasetWriter(path, 200) as writer:
        writer.append(counts)
        writer.finish(obs, var, {})

WAYS = {
    "whole.h5ad": lambda path: write_dataset(path, counts),
    "chunks.h5ad": chunks,
    "m.h5nnmf": lambda path: save_model(path, model),
    "c.h5": lambda path: write_h5(path, cells, genes, counts.multiply(1000003)),
    "s.npz": lambda path: save_simulation(path, drawn),
    "t.tsv": lambda path: write_table(pd.DataFrame(usage), path, digits=None),
    "l.json": lambda path: save_layers(path, [1], "x" * 70000),
    "g.gmt": lambda path: write_gene_sets([("a", "b", genes * 100)], path),
}
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
for name, write in WAYS.items():
    try:
        write(here / name)
        print("WRITTEN", name)
    except OutputError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(sorted(path.name for path in here.iterdir()))
for name, write in WAYS.items():
    write(here / name)
"""


def test_every_writer_on_a_disk_that_fills_up(tmp_path):
    command = [sys.executable, "-c", WRITERS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    *sentences, left = done.stdout.splitlines()
    assert left == "[]" and len(sentences) == 8
    for sentence in sentences:
        assert "cannot be written (File too large): raise the limit" in sentence
    assert len(list(tmp_path.iterdir())) == 8


def test_a_figure_on_a_full_disk(tmp_path, monkeypatch):
    def full(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OutputError, match=r"f\.png' cannot be written \(No space left"):
        save_figure(Figure(), tmp_path / "f.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_the_system_says_is_told_with_what_to_do(tmp_path, number):
    told = r"run it again; nothing half-written is left\.$"
    with pytest.raises(OutputError, match=told), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))
    # HDF5 says the number in words only, and h5py what follows from it.
    with pytest.raises(OutputError, match="cannot be written"), atomic_path(tmp_path / "a"):
        try:
            raise RuntimeError(f"Can't write (errno = {number}, error message = ...)")
        except RuntimeError as error:
            raise OSError("Can't close file") from error
    assert list(tmp_path.iterdir()) == []


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (OSError("odd"), RuntimeError("odd"), InputError("bad"), ZeroDivisionError()):
        with pytest.raises(type(error)), atomic_path(tmp_path / "a"):
            raise error


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    told = "Not a directory|File exists"
    with pytest.raises(OutputError, match=told), atomic_path(tmp_path / "file" / "a.txt"):
        pass
    with pytest.raises(OutputError, match="shorter"), atomic_path(tmp_path / ("y" * 300)) as path:
        path.write_text("")


def test_no_room_is_seen_before_a_long_file_is_begun(tmp_path):
    with pytest.raises(OutputError, match="No space left on device"):
        atomic.check_room(tmp_path / "a", 1 << 60)
    atomic.check_room(tmp_path / "a", 1)


# Temporary files


def test_a_temporary_array_keeps_what_it_is_given(tmp_path, monkeypatch):
    real = os.pwrite
    # A system may write less than it is asked to.
    monkeypatch.setattr(temporary_file.os, "pwrite", lambda f, b, at: real(f, b[:7], at))
    array = TemporaryArray(np.int32, tmp_path)
    array.append(np.arange(10))
    array.append(np.empty(0))
    array.append(np.arange(10, 15.0))
    assert array.read().tolist() == list(range(15)) and array.read(3, 5).tolist() == [3, 4]
    os.ftruncate(array._file.fileno(), 59)
    with pytest.raises(OutputError, match="cut off while it was in use"):
        array.read()
    array.close()
    assert list(tmp_path.iterdir()) == []


def test_no_tail_is_lost_when_room_comes_back(tmp_path, monkeypatch):
    """NumPy's tofile said nothing, and sorting lost a few hundred entries."""
    room, real = [3000], os.pwrite

    def pwrite(file, content, place):
        if not room[0]:
            room[0] = 1 << 30
            raise OSError(errno.ENOSPC, "No space left on device")
        content = content[: room[0]]
        room[0] -= len(content)
        return real(file, content, place)

    monkeypatch.setattr(temporary_file.os, "pwrite", pwrite)
    counts = sp.random(50, 40, 0.5, random_state=np.random.default_rng(0)).tocoo()
    with pytest.raises(OutputError, match="No space left on device"):
        sort_by_cell([(counts.row, counts.col, counts.data)], counts.shape, counts.nnz, tmp_path)


# What killed processes leave

KILLED = """
import os, signal, sys
from neuralNMF.io.atomic import atomic_path
with atomic_path(sys.argv[1]) as path:
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_at_the_next_start(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "layer1.h5nnmf")])
    [stray] = tmp_path.iterdir()
    assert stray.name.startswith(".layer1.")
    (tmp_path / ".layer1.a213b29e.h5nnmf").write_text("a name of the user's own")
    with atomic_path(tmp_path / "other.tsv") as path:
        path.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"other.tsv", ".layer1.a213b29e.h5nnmf"}


def test_what_a_running_process_writes_stays(tmp_path):
    with atomic_path(tmp_path / "a.txt") as first:
        first.write_text("of this process")
        with atomic_path(tmp_path / "b.txt") as second:
            second.write_text("too")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "b.txt"}


def test_of_another_machine_only_what_nobody_writes_to_for_two_days(tmp_path):
    name = strays.own_name(tmp_path / "a.txt")
    machine = name.split(".")[2][:8]
    other = tmp_path / name.replace(machine, "00000000" if machine != "0" * 8 else "1" * 8)
    other.write_text("half")
    strays.remove_strays(tmp_path)
    assert other.exists()
    long_ago = time.time() - 3 * 24 * 3600
    os.utime(other, (long_ago, long_ago))
    strays.remove_strays(tmp_path)
    assert not other.exists()


def test_the_same_number_of_another_process_does_not_count(tmp_path):
    """Numbers come again; when a process started does not."""
    name = strays.own_name(tmp_path / "a.txt")
    pid, start = name.split(".")[2].split("-")[1:3]
    if start == "0":
        pytest.skip("the system does not say when a process started")
    stray = tmp_path / name.replace(f"-{pid}-{start}-", f"-{pid}-{int(start) - 1}-")
    stray.write_text("half")
    strays.remove_strays(tmp_path)
    assert not stray.exists()
