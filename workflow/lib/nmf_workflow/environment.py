"""The environment that jobs and scripts inherit."""

import os


def pass_on(library: str) -> None:
    """Let every process started from here, in whatever Python, import from a folder.

    Args:
        library: the folder with the packages ``neuralNMF`` and ``nmf_workflow``.
    """
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in before if path not in ("", library)]
    os.environ["PYTHONPATH"] = os.pathsep.join([library, *others])
