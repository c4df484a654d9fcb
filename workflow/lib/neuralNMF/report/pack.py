"""Arrays as text in a page: zlib, then base64; the page's script unpacks what it shows."""

import base64
import zlib

import numpy as np

LEVEL = 9  # the least text


def pack_bytes(content: bytes) -> str:
    """The bytes, compressed, as ASCII text."""
    return base64.b64encode(zlib.compress(content, LEVEL)).decode("ascii")


def pack(values: np.ndarray) -> str:
    """An array of uint8 or uint16 as text, little-endian whatever the machine is."""
    return pack_bytes(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())


def pack_words(words: list[str]) -> str:
    """Texts, one a line; a line break in one becomes a blank."""
    return pack_bytes("\n".join(" ".join(word.splitlines()) for word in words).encode())


def quantised(values: np.ndarray, low: float, high: float, levels: int) -> np.ndarray:
    """Whole numbers from 0 (at `low`) to `levels` (at `high`), in between in equal steps."""
    span = high - low if high > low else 1.0
    steps = np.rint(np.clip((values - low) / span, 0.0, 1.0) * levels)
    return steps.astype(np.uint8 if levels < 256 else np.uint16)
