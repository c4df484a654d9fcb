"""The lowest versions that pyproject.toml allows, as constraints for pip: ``make test-oldest``.

Of all that the library and its jobs on a cluster ask for. What only other packages ask for is as
new as they allow. Tools of the tests and pages are those that are pinned, and so is torch: of its
older versions there is no small build for CPUs on the usual index.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENT = re.compile(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)")


def lowest() -> dict[str, str]:
    """Names and versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    ours = dict(map(_parts, [*project["dependencies"], *extras["cluster"]]))
    tools = [_parts(line)[0] for line in [*extras["docs"], *extras["test"]] if ">=" in line]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^(.+)==(.+)$", pins.lower(), re.MULTILINE))
    return ours | {name: pinned[name] for name in [*tools, "torch"]}


def _parts(requirement: str) -> tuple[str, str]:
    match = REQUIREMENT.match(requirement)
    assert match, f"pyproject.toml names no lowest version in '{requirement}'"
    return match[1], match[2]


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in lowest().items()))
