"""``docs/config.md``, written from the schema: ``python -m nmf_workflow.docs [--check]``."""

import json
import sys
from pathlib import Path

from nmf_workflow import schema
from nmf_workflow.schema import Node

PAGE = Path(__file__).parents[3] / "docs" / "config.md"
REPAIR = "make docs"

HEAD = """# Every key of the config

Written by `make docs` from `workflow/schemas/config.schema.yaml`; change that file, not this one.

A key that is left out has its default. A key that is not in this table is an error, with a guess
at what was meant. Paths are relative to the folder in which the workflow runs (`--directory`).
Below `runs.<name>` stand the keys from `layers` to `shards` that differ for that run, and
below `samples.<name>.dataset` the keys of `dataset` that differ for that sample.

A config that names `samples` stands for itself: nothing of the example in `config.yaml` is mixed
in. With `--configfile a.yaml b.yaml` the second adds to the first, key by key.

| key | default | allowed | what it is |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(row(path, node) for path, node in schema.all_keys())


def row(path: str, node: Node) -> str:
    """One line of the table."""
    if "default" in node and node.get("default") != {}:
        default = f"`{json.dumps(node['default']).strip(chr(34))}`"
    else:
        default = ""
    cells = [f"`{path}`", default, node["allowed"], node["description"].strip()]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` say whether it is what the schema says."""
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write(f"{PAGE.name} is not what the schema says; repair it with: {REPAIR}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
