"""Fixtures: the workflow as it is, and a copy whose scripts do nothing."""

from pathlib import Path

import pytest
from harness import ROOT, SMALL, Workflow, copy_workflow, stub_scripts


@pytest.fixture
def real(tmp_path: Path) -> Workflow:
    """The checkout's own workflow, working in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Workflow(ROOT, folder)


@pytest.fixture
def stubbed(tmp_path: Path) -> Workflow:
    """A copy of the workflow whose scripts do nothing, working in an empty folder."""
    source = copy_workflow(tmp_path / "source")
    stub_scripts(source)
    folder = tmp_path / "work"
    folder.mkdir()
    return Workflow(source, folder)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A stubbed workflow that has run on `SMALL`, for tests that only ask what would run next."""
    source = copy_workflow(tmp_path_factory.mktemp("done") / "source")
    stub_scripts(source)
    workflow = Workflow(source, source.parent / "work")
    workflow.run(config=SMALL)
    return workflow
