"""pyproject.toml, constraints.txt and envs/*.yaml name the same versions."""

import ast
import importlib.metadata
import os
import re
import sys
import tomllib

import neuralNMF
import pytest
import rattler
import yaml
from harness import ROOT, SMALL, Workflow
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ENVS = sorted((ROOT / "envs").glob("*.yaml"))
# Names on conda-forge where they differ from PyPI's.
CONDA_NAMES = {"pytorch-cpu": "torch", "pytorch-gpu": "torch", "matplotlib-base": "matplotlib"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins() -> dict[str, str]:
    """Version of each package in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    """What pyproject.toml asks for, extras included."""
    project = PYPROJECT["project"]
    lines = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    found = [Requirement(line) for line in lines]
    return [entry for entry in found if entry.name != project["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_pinned_within_its_range(requirement: Requirement):
    pinned = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pinned), pinned


@pytest.mark.parametrize("name", ["torch", "numpy", "snakemake", "anndata"])
def test_installed_is_what_is_pinned(name: str):
    assert Version(importlib.metadata.version(name)).public == pins()[name]


def test_pins_name_no_build_and_no_host():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"\+|//| @ ", text)


def test_version_is_the_library_s():
    assert importlib.metadata.version("neuralnmf-workflow") == neuralNMF.__version__


def specs(path) -> list[rattler.MatchSpec]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert "nodefaults" in document["channels"]
    return [rattler.MatchSpec(spec) for spec in document["dependencies"]]


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.name)
def test_conda_environment_has_the_pinned_versions(path):
    for spec in specs(path):
        name = spec.name.normalized if hasattr(spec.name, "normalized") else str(spec.name)
        version = str(spec.version).strip("=").removesuffix(".*")
        if name == "python":
            assert Version(version) in PYTHONS, "the tested Pythons are " + str(PYTHONS)
        else:
            assert version == pins()[CONDA_NAMES.get(name, name)], name


PYTHONS = [Version("3.11"), Version("3.12"), Version("3.13")]


def imports_of(*folders: str) -> set[str]:
    """Top-level modules that the Python files of some folders import."""
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py") if (ROOT / folder).is_dir() else [ROOT / folder]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found.update(alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"neuralNMF", "nmf_workflow"}


def test_the_library_imports_only_what_is_asked_for():
    asked = {canonicalize_name(entry.name) for entry in requirements()}
    provided = {
        "yaml": "pyyaml",
        "skmisc": "scikit-misc",
        "sklearn": "scikit-learn",
        "umap": "umap-learn",
    }
    found = imports_of("workflow/lib", "workflow/scripts")
    # Used where they are there: Triton comes with the builds of torch for CUDA.
    for module in found - {"hdf5plugin", "triton", "zarr"}:
        assert provided.get(module, module) in asked, module


def test_rules_name_environments_that_exist():
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for name in re.findall(r"envs/(\w+\.yaml)", path.read_text(encoding="utf-8")):
            assert (ROOT / "envs" / name).is_file(), f"{path.name}: {name}"


CONDA = """\
#!/bin/sh
case "$*" in
  *--version*) echo "conda 25.1.0" ;;
  *info*) echo '{"conda_version": "25.1.0", "conda_prefix": "HERE", "root_prefix": "HERE",
                 "platform": "linux-64", "channels": []}' ;;
  *config*) echo '{"get": {"channel_priority": "strict"}}' ;;
esac
"""


def test_every_rule_and_device_has_its_environment(real: Workflow, tmp_path, monkeypatch):
    """With a conda that only says that it is there: what would be solved, not whether it can be."""
    program = tmp_path / "conda"
    program.write_text(CONDA.replace("HERE", str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def environments(device) -> set[str]:
        config = {**SMALL, "device": device, "plots": {"umap": True}}
        text = real.run("--dry-run", "--sdm", "conda", config=config).text
        return set(re.findall(r"Conda environment \S*/(\w+\.yaml) will be created", text))

    assert environments("cpu") == {"library.yaml", "plots.yaml", "embed.yaml"}
    assert environments(["cuda", "cpu"]) == {"library.yaml", "gpu.yaml", "plots.yaml", "embed.yaml"}


def test_the_gpu_environment_differs_in_torch_only():
    cpu, gpu = (
        (ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8").split("channels:")[1]
        for name in ("library", "gpu")
    )
    assert cpu.replace("pytorch-cpu", "pytorch-gpu") == gpu
