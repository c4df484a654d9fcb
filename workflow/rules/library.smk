# Where the workflow's own files are. Beside this one, or, where another Snakefile takes the workflow
# from GitHub or GitLab as a module, in Snakemake's clone of the repository, which has no folders:
# then what is read as plain files is unpacked from it, once for each commit.
import os
import shutil
import sys
import tempfile
from pathlib import Path

PLAIN_FILES = ("config.yaml", "workflow/lib", "workflow/schemas")


def own_folder(source) -> Path:
    """The folder with `PLAIN_FILES`, given the top of the workflow as Snakemake names it."""
    if hasattr(source, "hosted_repo"):
        return unpacked(source.hosted_repo.repo.commit(source.ref))
    return Path(os.path.abspath(source.get_path_or_uri(secret_free=True)))


def unpacked(commit) -> Path:
    """A folder with `PLAIN_FILES` as they are in a commit."""
    folder = Path(workflow.sourcecache.cache_path, "neuralnmf-workflow", commit.hexsha)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(dir=folder.parent))
    for name in PLAIN_FILES:
        entry = commit.tree[name]
        for blob in [entry] if entry.type == "blob" else entry.traverse():
            if blob.type == "blob":
                (half / blob.path).parent.mkdir(parents=True, exist_ok=True)
                (half / blob.path).write_bytes(blob.data_stream.read())
    try:
        half.rename(folder)
    except OSError:  # another job was faster
        shutil.rmtree(half)
    return folder


FOLDER = own_folder(workflow.current_basedir.join("../.."))

# The one place that makes the library importable: for the Snakefile, in every job's parse of it,
# and for scripts, also under an environment of their own.
sys.path.insert(0, str(FOLDER / "workflow" / "lib"))
from nmf_workflow.environment import outlive_warnings, pass_on, quote_interpreter

pass_on(sys.path[0])
quote_interpreter()
outlive_warnings()
