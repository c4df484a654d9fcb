"""Every code block of the README and the pages is run: what users copy works."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import yaml
from harness import ROOT, SMALL, Workflow, clean_environment
from helpers import make_adata
from neuralNMF import LayerOptions, fit_layer, open_dataset, save_model
from neuralNMF.io.dataset import write_dataset
from nmf_workflow.config import load
from snakemake.cli import parse_args

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
# Counts that configs of the pages have in the folder `data`.
OF_DATA = ("donor2", "blood", "pbmc_facs")
# Directives of MyST's; notebooks are run when the pages are built.
DIRECTIVES = ("{toctree}", "{include}", "{eval-rst}")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\S*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    name = str(page.relative_to(ROOT))
    return [Block(name, text[: m.start()].count("\n") + 1, m[1], m[2]) for m in found]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def commands() -> list[tuple[Block, str]]:
    """The commands of all pages, each once."""
    found = {}
    for block in of("bash"):
        for line in block.text.splitlines():
            if command := shlex.join(shlex.split(line, comments=True)):
                found.setdefault(command, (block, command))
    return list(found.values())


def test_every_block_has_a_language_that_is_run():
    # The likes of the Snakefile that takes the workflow as a module: test_module.py.
    known = {"bash", "yaml", "python", "text", "snakemake", *DIRECTIVES}
    assert {block.language for block in BLOCKS} <= known
    assert all(of(language) for language in ("bash", "yaml", "python"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_is_only_indented(page: Path):
    """Blocks without a fence have no language, and nobody would run them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert not re.search(r"\n\n {4}(?! *[-*\d])", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that the pages speak of: counts, and models of them, all small."""
    folder = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    programs = rng.gamma(0.3, 1.0, (6, 150))
    usage = rng.gamma(0.3, 1.0, (300, 6))
    counts = rng.poisson(20 * usage @ programs / programs.sum(axis=1).mean())
    adata = make_adata(counts, celltype=usage.argmax(axis=1).astype(str))
    for name in ("my.h5ad", "ifnb_pbmc.h5ad", *(f"data/{of}.h5ad" for of in OF_DATA)):
        (folder / name).parent.mkdir(exist_ok=True)
        adata.write_h5ad(folder / name)
    write_dataset(
        folder / "dataset.h5ad",
        sp.csr_matrix(counts),
        pd.DataFrame(index=adata.obs_names),
        pd.DataFrame(index=adata.var_names),
    )
    dataset, model = open_dataset(folder / "dataset.h5ad"), None
    for depth, rank in enumerate((5, 3, 2), start=1):
        model = fit_layer(dataset, model, LayerOptions(rank, epochs=5), progress=False)
        for sample in ("sim", "pbmc"):
            path = folder / f"results/{sample}/main/layer{depth}.h5nnmf"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_model(path, model)
    return folder


@pytest.mark.parametrize("block", of("python"), ids=str)
@pytest.mark.filterwarnings("default")
def test_python(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch):
    for module in re.findall(r"^import (\w+)|^from (\w+)", block.text, re.MULTILINE):
        pytest.importorskip("".join(module))
    monkeypatch.chdir(folder)
    exec(compile(block.text, str(block), "exec"), {})


def test_the_page_of_results_names_every_key_of_a_model(folder: Path):
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    model = anndata.read_h5ad(folder / "results/sim/main/layer3.h5nnmf")
    there = [*model.obsm, *model.varm, *model.uns, *model.obs, *model.var]
    names = {re.sub(r"_l\d+$", "_l{l}", name) for name in there}
    assert {name for name in names if name not in text} == set()


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A config, or a part of one."""
    monkeypatch.chdir(folder)
    load({"samples": {"mine": {"input": "my.h5ad"}}, **yaml.safe_load(block.text)})


@pytest.mark.parametrize(("block", "command"), commands(), ids=lambda each: str(each))
def test_bash(block: Block, command: str, real: Workflow, monkeypatch: pytest.MonkeyPatch):
    """As a dry run, where the program has one; else that what it names is there."""
    program, *arguments = shlex.split(command)
    if program == "make":
        makefile = ["make", "-n", "-o", ".venv/.run", "-o", ".venv/.test", "-f", ROOT / "Makefile"]
        run([*makefile, *arguments], real.folder)
    elif program == "snakemake":
        places = {"/shared/nmf": str(ROOT), "/scratch": str(real.folder)}
        for name, place in places.items():
            arguments = [argument.replace(name, place) for argument in arguments]
        if "--snakefile" not in arguments:
            arguments = ["--snakefile", str(ROOT / "Snakefile"), *arguments]
        monkeypatch.chdir(real.folder)
        parse_args(arguments)  # unknown options and profiles end here
        if "--directory" in arguments:
            for folder in (real.folder, real.folder / "me", real.folder / "project"):
                Workflow(ROOT, folder).configure(SMALL, "my.yaml")
            run([sys.executable, "-m", "snakemake", "-n", *arguments], real.folder)
    elif command.startswith("python -m "):
        assert importlib.util.find_spec(arguments[1])
        run([sys.executable, "-m", arguments[1], "--help"], real.folder)
    elif program == "pip" and arguments[0] == "install":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for extra in re.findall(r"\[(\w+)\]", command):
            assert extra in project["optional-dependencies"]
    elif command.startswith("conda env create"):
        assert (ROOT / arguments[arguments.index("--file") + 1]).is_file()
    else:
        raise AssertionError(f"{block}: nobody knows how to try `{command}`")


def run(command: list[str | Path], folder: Path) -> None:
    environment = clean_environment(folder)
    environment["PYTHONPATH"] = str(ROOT / "workflow" / "lib")
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env={**environment, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
