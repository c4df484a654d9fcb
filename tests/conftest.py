"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real counts files that this project did not write; not part of the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        reason = f"the folder of real test data, {folder}, is absent"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those on Slurm first: they mostly wait, and one that comes last makes all others wait too."""
    items.sort(key=lambda item: item.get_closest_marker("slurm") is None)
