"""The layers that were chosen for a run, ``layers.json``."""

import json
from collections.abc import Sequence
from pathlib import Path

from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path


def save_layers(path: str | Path, layers: Sequence[int], reason: str) -> None:
    """Write the layers (programs that each is asked for) and the reason in words."""
    text = json.dumps({"layers": list(layers), "reason": reason}, indent=1, ensure_ascii=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def load_layers(path: str | Path) -> tuple[list[int], str]:
    """Read what `save_layers` wrote; raise InputError where it is missing or damaged."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        return [int(size) for size in found["layers"]], str(found["reason"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' does not name the layers of a run ({error}): choose them again."
        ) from error
