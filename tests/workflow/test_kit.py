"""What those who join or cite the project read: it names what is there."""

import importlib.resources
import importlib.util
import re
import subprocess
import sys
import tomllib

import neuralNMF
import pytest
import yaml
from harness import ROOT
from nmf_workflow.config import load

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LIBRARY = ROOT / "workflow" / "lib" / "neuralNMF"
PAGES = ["CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "config/README.md", "docs/ecosystem.md"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def document(name: str) -> dict:
    return yaml.safe_load(read(name))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def test_the_citation_names_this_version_and_licence():
    citation = document("CITATION.cff")
    assert citation["version"] == neuralNMF.__version__
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License")
    assert citation["authors"][0]["name"] in read("LICENSE")


def test_the_citation_has_what_its_schema_asks_for():
    citation = document("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    # The keys of the schema that are used here; any other would have to be looked up there first.
    known = {"cff-version", "message", "type", "title", "abstract", "authors", "version", "license"}
    assert citation.keys() <= known | {"keywords"}


def test_the_change_log_has_this_version():
    assert f"## {neuralNMF.__version__}\n" in read("CHANGELOG.md")


@pytest.mark.parametrize("package", ["neuralNMF", "nmf_workflow"])
def test_types_are_for_others_too(package: str):
    assert (importlib.resources.files(package) / "py.typed").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_links_and_commands_of_a_page(page: str):
    text = read(page)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("http") or ((ROOT / page).parent / target).exists(), target
    for target in re.findall(r"\bmake ([a-z-]+)`", text):
        assert target in make_targets(), target


def test_the_files_that_contributors_are_sent_to_exist():
    names = re.findall(r"`([\w./-]+(?:/|\.(?:py|smk|yaml|yml|md|toml|txt|cff)))`", read(PAGES[0]))
    assert len(names) > 40
    places = {"logs/", "debug/"}
    for name in set(names) - places:
        assert (ROOT / name).exists() or (LIBRARY / name).exists(), name


def test_the_names_that_contributors_are_sent_to_exist():
    """Names of Python's, told by an underscore or a capital, stand somewhere in the code."""
    code = "".join(path.read_text() for path in (ROOT / "workflow").rglob("*.py"))
    text = read(PAGES[0])
    names = set(re.findall(r"`([a-z]+_\w+|[A-Z]\w+)`", text)) - {"ARGS", "plot_<name>"}
    assert {"Fitted", "RowSource", "LOSSES", "fit_least_squares"} <= names
    for name in names:
        assert re.search(rf"\b{name}\b", code), name


def test_the_configs_that_users_are_shown_are_valid(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "blood.h5ad").touch()
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```yaml\n(.*?)```", read("config/README.md"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert load(yaml.safe_load(block)).samples.keys() == {"blood"}


def test_the_catalog_s_file():
    usage = document(".snakemake-workflow-catalog.yml")["usage"]
    deployment = usage["software-stack-deployment"]
    assert deployment["conda"] is True
    reports = [path for path in (ROOT / "workflow").rglob("*.smk") if "report(" in path.read_text()]
    assert deployment["report"] == bool(reports)


def test_hooks_run_what_the_environment_has():
    groups = {
        group["repo"]: group["hooks"] for group in document(".pre-commit-config.yaml")["repos"]
    }
    for hook in groups["local"]:
        words = hook["entry"].split()
        if words[0] == "make":
            assert words[1] in make_targets()
        else:
            assert words[:2] == [".venv/bin/python", "-m"]
            assert importlib.util.find_spec(words[2]), words[2]


def test_integration_calls_make_and_may_only_read():
    workflow = document(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = {step["run"] for step in steps if step.get("run", "").startswith("make ")}
    targets = ("lint", "docs-check", "fast", "test-oldest", "test")
    assert called == {f"make {target}" for target in targets}
    assert {target.removeprefix("make ") for target in called} <= make_targets()
    installed = next(step["run"] for step in steps if "apt-get install" in step.get("run", ""))
    packages = re.findall(r"--no-install-recommends (.+)", (ROOT / ".ci" / "run").read_text())
    assert set(" ".join(packages).split()) <= set(installed.split())
    pythons = {f"Programming Language :: Python :: {name}" for name in
               workflow["jobs"]["fast"]["strategy"]["matrix"]["python"]}  # fmt: skip
    assert pythons == {entry for entry in PROJECT["classifiers"] if ":: Python ::" in entry}


def test_spelling():
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
