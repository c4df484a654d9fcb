"""The rate by which an iteration goes beyond its plain step, adapted to its success.

An iteration whose plain step x_new never raises the loss is sped up by going on from x_new in the
direction that led there, by a rate: linearly, x_new + rate (x_new - x_old), or in the logarithm,
x_new (x_new / x_old)^rate, which keeps entries positive. The rate grows a little each time; where
the loss rises, the iteration goes back to the plain step and the rate shrinks (Ang & Gillis 2019,
Neural Computation 31(2), 417-439, who extrapolate linearly). This module keeps the
rate; the arithmetic on the factors and the way back are the iteration's own.
"""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_RATE, _GROWTH, _RETREAT = 0.5, 1.05, 1.5
_CEILING_GROWTH, _HIGHEST_CEILING = 1.01, 1.0
_LARGEST_MOMENTUM, _LARGEST_POWER = 0.95, 3.0


@dataclass
class Extrapolation:
    """The rate of the next extrapolation, adapted as the last ones went.

    Make one with `linear` or `logarithmic`; read ``rate``, then call `grow` or `retreat`.

    Parameters
    ----------
    largest : float
        The rate grows no further than this.
    ceiling : float or None
        The rate that failed last: the rate stays at or below it, while it slowly rises again to
        one. None: failures are not remembered.
    rate : float
        A momentum, or a power; without unit.
    """

    largest: float
    ceiling: float | None = None
    rate: float = _FIRST_RATE

    @classmethod
    def linear(cls) -> Extrapolation:
        """A momentum with a ceiling, for x_new + rate (x_new - x_old); Ang & Gillis' rule."""
        return cls(_LARGEST_MOMENTUM, ceiling=_HIGHEST_CEILING)

    @classmethod
    def logarithmic(cls) -> Extrapolation:
        """A power with a fixed limit, for x_new (x_new / x_old)^rate."""
        return cls(_LARGEST_POWER)

    def grow(self) -> None:
        """After an extrapolation that did not raise the loss, or on trust until the loss is known.

        The rate is multiplied by 1.05 and, where there is a ceiling, the ceiling by 1.01.
        """
        grown = min(self.largest, _GROWTH * self.rate)
        if self.ceiling is None:
            self.rate = grown
        else:
            self.rate = min(self.ceiling, grown)
            self.ceiling = min(_HIGHEST_CEILING, _CEILING_GROWTH * self.ceiling)

    def retreat(self) -> None:
        """After an extrapolation that raised the loss: the rate is divided by 1.5.

        Where there is a ceiling, the rate that failed becomes the new one.
        """
        if self.ceiling is not None:
            self.ceiling = self.rate
        self.rate /= _RETREAT
