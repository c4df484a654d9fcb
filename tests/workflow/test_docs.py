"""Pages that are made from something else say what it says."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import anndata
import neuralNMF
import pytest
from harness import ROOT, clean_environment
from nmf_workflow import docs


def test_config_page_is_what_the_schema_says():
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == docs.page(), "docs/config.md is out of date; repair it with: make docs"


def test_check_names_the_repair_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(docs, "PAGE", tmp_path / "config.md")
    assert docs.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    docs.PAGE.write_text(docs.PAGE.read_text().replace("| `layers` |", "| `layer` |"))
    assert docs.main(["--check"]) == 1


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_commands_in_the_pages_exist():
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8")):
            assert target in made, f"{page.name} says: make {target}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make docs` builds them; the notebooks see small counts."""
    folder = tmp_path_factory.mktemp("docs")
    environment = clean_environment(folder) | {"CELLS": "2000", "PYTHONHASHSEED": "0"}
    environment["PYTHONPATH"] = str(ROOT / "workflow" / "lib")
    for variable, name in (("BLOOD_CELLS", "pbmc_facs"), ("TWO_CONDITIONS", "ifnb_pbmc")):
        counts = ROOT.parent / "shared" / "data" / f"{name}.h5ad"
        if counts.is_file():
            some = anndata.read_h5ad(counts)
            some[:: -(-some.n_obs // 600)].copy().write_h5ad(folder / f"{name}.h5ad")
            environment[variable] = str(folder / f"{name}.h5ad")
    command = ["-W", "--keep-going", "-q", "-b", "html", ROOT / "docs", folder / "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *map(str, command)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    return folder / "html"


@pytest.mark.slow
def test_pages_build_without_a_warning(built: Path):
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    for page in pages:
        assert (built / page.with_suffix(".html")).is_file()


def output_of(built: Path, notebook: str) -> str:
    """The page of a notebook; that it has figures is checked."""
    text = (built / "notebooks" / f"{notebook}.html").read_text(encoding="utf-8")
    assert re.search(r'<img [^>]*src="\.\./_images/[0-9a-f]+\.png"', text)
    return text


@pytest.mark.slow
def test_a_million_cells(built: Path):
    text = output_of(built, "million_cells")
    assert "((2000, 1000)," in text
    assert "([20, 10], " in text


@pytest.mark.slow
def test_blood_cells(built: Path, shared_data: Path):
    text = output_of(built, "blood_cells")
    for marker in ("CD79A", "S100A8", "GNLY"):
        assert marker in text


@pytest.mark.slow
def test_two_conditions(built: Path, shared_data: Path):
    """The response to interferon is found, and with its common part gone the conditions mix."""
    text = output_of(built, "two_conditions")
    assert re.search(r"P\d+ (IFI6 MX1|MX1 IFI6)", text)
    as_they_are, taken_out = (
        float(re.search(rf"{words}\s+(\d\.\d+)", text)[1])
        for words in ("as they are", "condition taken out")
    )
    assert as_they_are < 0.3 < taken_out


def test_the_python_page_has_every_public_name():
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names = {name for name in neuralNMF.__all__ if callable(getattr(neuralNMF, name))}
    there = set(re.findall(r"auto\w+:: neuralNMF\.(?:[\w.]+\.)?(\w+)$", text, re.MULTILINE))
    assert names <= there
    for path in re.findall(r"auto\w+:: ([\w.]+)$", text, re.MULTILINE):
        module, _, name = path.rpartition(".")
        assert inspect.getdoc(getattr(importlib.import_module(module), name)), path
