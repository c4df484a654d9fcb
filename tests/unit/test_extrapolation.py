"""The rate of extrapolated iterations, beside the rules written out."""

import pytest
from neuralNMF.solvers.extrapolation import Extrapolation


def test_a_momentum_follows_the_rule_of_ang_and_gillis():
    """Growth 1.05 up to 0.95 and the ceiling; the ceiling is the last failure, growing by 1.01."""
    extrapolation = Extrapolation.linear()
    momentum, ceiling = 0.5, 1.0
    for failed in [False] * 4 + [True, True] + [False] * 30 + [True] + [False] * 80:
        assert extrapolation.rate == momentum and extrapolation.ceiling == ceiling
        if failed:
            ceiling, momentum = momentum, momentum / 1.5
            extrapolation.retreat()
        else:
            momentum = min(ceiling, 1.05 * momentum, 0.95)
            ceiling = min(1.0, 1.01 * ceiling)
            extrapolation.grow()
    assert extrapolation.rate == 0.95 and extrapolation.ceiling == 1.0


def test_a_power_grows_to_its_limit_and_forgets_failures():
    extrapolation = Extrapolation.logarithmic()
    power = 0.5
    for failed in [False] * 10 + [True] + [False] * 60:
        assert extrapolation.rate == power
        if failed:
            power = power / 1.5
            extrapolation.retreat()
        else:
            power = min(3.0, 1.05 * power)
            extrapolation.grow()
    assert extrapolation.rate == 3.0


def test_a_rate_that_failed_is_not_passed_soon():
    """The ceiling holds the rate back long before the largest rate does."""
    extrapolation = Extrapolation.linear()
    failed = extrapolation.rate
    extrapolation.retreat()
    for number in range(15):
        extrapolation.grow()
        assert extrapolation.rate <= failed * 1.01**number * (1 + 1e-12)
    assert extrapolation.rate == pytest.approx(failed * 1.01**14, rel=1e-12)


@pytest.mark.parametrize("kind", [Extrapolation.linear, Extrapolation.logarithmic])
def test_two_iterations_do_not_share_their_rate(kind):
    first, second = kind(), kind()
    first.retreat()
    assert second.rate == 0.5 and first.rate == 0.5 / 1.5
