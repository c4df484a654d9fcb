"""``python -m nmf_workflow.new my.h5ad [--name blood] [--config my.yaml]``; see `make new`."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from neuralNMF.errors import InputError, NeuralNMFError
from neuralNMF.survey.counts import survey_counts

from nmf_workflow.config import ConfigError
from nmf_workflow.new.text import about, command, text_of

# Endings that do not name what is in a file.
ENDINGS = re.compile(
    r"(\.(h5ad|h5|hdf5|h5mu|loom|zarr|mtx|tsv|csv|txt|gz|bz2|xz))+$|_?matrix\.mtx(\.\w+)?$", re.I
)


def sample_name(path: Path) -> str:
    """A name for the sample of a file: the file's own, without what tells its format."""
    stem = ENDINGS.sub("", path.absolute().name) or path.absolute().parent.name
    return re.sub(r"[^\w.+-]+", "_", stem).lstrip(".+-") or "mine"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line says; what is empty counts as not given."""
    parser = argparse.ArgumentParser(prog="python -m nmf_workflow.new", description=__doc__)
    parser.add_argument("input", help="a file or folder with raw counts, of any format")
    parser.add_argument("--name", default="", help="of the sample (default: the file's)")
    parser.add_argument("--config", default="", help="to write (default: the name, with .yaml)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Look into the file and write its config beside nothing that is there.

    Raises
    ------
    InputError
        There is no file, it cannot be used, or the config is there already.
    ConfigError
        The path or the name cannot stand in a config.
    """
    asked = parse(arguments)
    if not asked.input:
        raise InputError("No file was named: make new INPUT=my.h5ad")
    path = Path(asked.input)
    name = asked.name or sample_name(path)
    config = Path(asked.config or f"{name}.yaml")
    if config.exists():
        raise InputError(f"'{config}' is there already: name another by CONFIG=, or remove it.")
    survey = survey_counts(path)
    text = text_of(survey, asked.input, name, str(config))
    config.parent.mkdir(parents=True, exist_ok=True)
    with config.open("x", encoding="utf-8") as file:
        file.write(text)
    sys.stderr.write(f"{about(survey)}\nWritten: {config}. Check it, then: {command(config)}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (NeuralNMFError, ConfigError) as error:
        sys.exit(str(error))
