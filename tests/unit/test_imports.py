"""Which module may import which: no circle, no import upwards, torch and files in their rooms."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "workflow" / "lib"

# The rooms of neuralNMF from the ground up: a room imports from lower levels and from itself, and
# rooms of one level do not know each other.
LEVELS = [
    {"errors", "processes"},
    {"options", "progress"},
    {"kernels"},
    {"team"},
    {"threads", "device", "memory", "simulate", "canonical", "labels", "sampling", "gene_classes"},
    {"evidence", "batches"},
    {"io", "colours"},
    {"solvers"},
    {"cells"},
    {"training"},
    {"least_squares", "poisson"},
    {"projection"},
    {"fit"},
    {"consensus"},
    {"sizes"},
    {"shards"},
    {"prototype", "dutil", "new_cells"},
]
# Rooms beside the fit: nothing below the prototype imports them.
BESIDE = {
    "dataset": {"errors", "options", "progress", "labels", "gene_classes", "batches", "io"},
    "report": {"options", "labels", "sampling", "evidence", "colours"},
    "plots": {"errors", "options", "labels", "sampling", "gene_classes", "evidence", "colours"},
    "survey": {"errors", "options", "labels", "gene_classes", "io"},
    "embedding": {"errors", "labels", "sampling", "evidence", "colours"},
}
# What the workflow's own package may know of the library: it is imported while the Snakefile is
# parsed, also where torch is not installed.
# Gene sets are read where the config is checked, not only long after the fits have begun.
FOR_THE_WORKFLOW = {
    "neuralNMF.errors",
    "neuralNMF.io.gene_sets",
    "neuralNMF.options",
    "neuralNMF.processes",
}
# A command of its own, which looks into a file; what the Snakefile imports may not import it.
COMMAND = "nmf_workflow.new"
WITHOUT_TORCH = ["errors", "processes", "options", "progress", "memory", "simulate", "canonical",
                 "team", "labels", "sampling", "gene_classes", "evidence", "batches", "io",
                 "colours", "dataset", "plots", "report", "survey", "embedding"]  # fmt: skip
# Kernels keep what they have compiled, the prototype appends to a sample's log.
# Of a process the system says in a file whether it runs.
MAY_OPEN_FILES = {"io", "kernels", "prototype", "processes"}
OPENING = {
    "open", "read_text", "write_text", "read_bytes", "write_bytes", "mkdir", "touch",
    "unlink", "fromfile", "tofile", "memmap", "savez", "savez_compressed", "loadtxt", "savetxt",
    "genfromtxt", "read_csv", "read_table", "to_csv", "to_hdf", "read_h5ad", "write_h5ad",
    "savefig", "TemporaryFile", "NamedTemporaryFile", "FileHandler",
}  # fmt: skip


def modules(package: str) -> dict[str, Path]:
    """The modules of a package by name."""
    by_name = {}
    for path in sorted((LIBRARY / package).rglob("*.py")):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        by_name[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return by_name


MODULES = modules("neuralNMF") | modules("nmf_workflow")
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imported(name: str) -> set[str]:
    """All that a module imports, wherever in it that stands: whole names, ours as modules."""
    names = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                names.add(below if below in MODULES else node.module)
    return names


IMPORTS = {name: imported(name) for name in MODULES}


def ours(name: str) -> set[str]:
    """The modules of the two packages that a module imports; the library's root has but names."""
    return {other for other in IMPORTS[name] & set(MODULES) if other != "neuralNMF"}


def room(name: str) -> str:
    """``neuralNMF.io.h5`` is in the room ``io``; a module on top is a room of its own."""
    return name.split(".")[1] if "." in name else ""


def reached(name: str) -> set[str]:
    """A module and all that it imports, directly or by others; modules of ours and top packages."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += IMPORTS[current] & set(MODULES) if current in MODULES else []
    return seen | {other.split(".")[0] for known in seen & set(MODULES) for other in IMPORTS[known]}


def allowed(of: str) -> set[str]:
    """The rooms that a room may import."""
    if of in BESIDE:
        return BESIDE[of] | {of}
    for number, level in enumerate(LEVELS):
        if of in level:
            lower = set().union(*LEVELS[:number])
            top = number == len(LEVELS) - 1
            return lower | {of} | (set(BESIDE) if top else set())
    raise AssertionError(f"the room {of} has no place in LEVELS or BESIDE")


def test_every_module_was_read():
    assert {"neuralNMF.io.h5", "neuralNMF.fit", "nmf_workflow.config"} <= set(MODULES)
    assert "neuralNMF.io.dataset" in ours("neuralNMF.fit")
    assert "neuralNMF.io.h5" in ours("neuralNMF.dutil.read_write")  # `from neuralNMF.io import h5`
    assert {"numpy", "neuralNMF.errors"} <= reached("neuralNMF.simulate")


def test_every_room_has_its_place():
    there = {room(name) for name in MODULES if name.startswith("neuralNMF.")}
    assert there == set().union(*LEVELS) | set(BESIDE)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("neuralNMF.")])
def test_no_import_upwards(name: str):
    may = allowed(room(name))
    assert {other for other in ours(name) if room(other) not in may} == set()
    assert not any(other.startswith("nmf_workflow") for other in ours(name))


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("nmf_workflow")])
def test_the_workflow_knows_little_of_the_library(name: str):
    library = {other for other in ours(name) if other.startswith("neuralNMF")}
    if name.startswith(COMMAND):
        library = {other for other in library if room(other) != "survey"}
    else:
        assert not any(other.startswith(COMMAND) for other in ours(name))
    assert library <= FOR_THE_WORKFLOW


def test_no_circle():
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(ours(name) - {name}):
                visit(other, [*path, name])
            done.add(name)

    for name in MODULES:
        visit(name, [])


@pytest.mark.parametrize("of", WITHOUT_TORCH)
def test_rooms_that_work_without_torch(of: str):
    for name in MODULES:
        if name.startswith("neuralNMF.") and room(name) == of:
            assert not {"torch", "numba"} & reached(name), name


def test_snakemake_is_for_the_workflow_only():
    for name in MODULES:
        assert name.startswith("nmf_workflow") or "snakemake" not in reached(name), name


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("neuralNMF.")])
def test_only_io_opens_files(name: str):
    if room(name) in MAY_OPEN_FILES:
        return
    calls = [node.func for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    called = {getattr(call, "id", getattr(call, "attr", "")) for call in calls}
    assert called & OPENING == set()
    assert not {"h5py", "anndata", "tempfile", "mmap", "gzip"} & {
        other.split(".")[0] for other in IMPORTS[name]
    }
