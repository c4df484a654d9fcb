"""Rows handled side by side: a tile (k, TILE) holds some consecutive rows as its columns."""

import numba

# So that a loop over coordinates that is serial within a row runs over vectors: enough rows for
# additions not to wait for each other, few enough for the cache.
TILE = 64


@numba.njit(error_model="numpy", cache=True)
def take_tile(rows, first, count, tile):
    """tile (k, TILE) = ``count`` rows of ``rows`` (N, k) from ``first`` on; 0 beside them."""
    for lane in range(count):
        for q in range(rows.shape[1]):
            tile[q, lane] = rows[first + lane, q]
    if count < TILE:
        tile[:, count:] = 0
