"""The answer of ours and of the peers, on the labelled sets: ``python -m benchmarks.answer``.

Takes the arguments of `run`, and `--peers` to name some of them.
"""

from __future__ import annotations

from benchmarks.answer.peers import PEERS
from benchmarks.answer.run import arguments, run

if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    given = parser.parse_args()
    run(given, {name: PEERS[name] for name in given.peers})
