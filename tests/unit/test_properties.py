"""Properties that hold for any input, on the inputs that hypothesis finds; the same each time."""

import string

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.optimize
import torch
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from neuralNMF.cells.counts import dense_counts
from neuralNMF.cells.products import tensor_products
from neuralNMF.errors import NeuralNMFError
from neuralNMF.io.counts import open_counts
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.options import CHOICES, LOSSES
from neuralNMF.poisson.network import LearnedPoisson
from neuralNMF.solvers.nnls import WarmStart, nnls
from nmf_workflow.config import ConfigError, load


def looked_for(examples: int):
    """So many inputs, the same ones each time and wherever the tests run."""
    return settings(max_examples=examples, derandomize=True, deadline=None, database=None)


# Small whole numbers make columns that depend on others, zeros and ties, many factors in few rows
# ever more of them; the powers make bad scales.
FACTORS = st.integers(1, 24).flatmap(
    lambda k: st.tuples(
        hnp.arrays(
            np.float64, st.tuples(st.integers(1, 9), st.just(k)), elements=st.integers(0, 9)
        ),
        hnp.arrays(np.float64, k, elements=st.integers(-4, 4)),
        st.integers(0, 2**32 - 1),
    )
)


@looked_for(100)
@given(FACTORS)
def test_least_squares_meets_its_conditions_for_any_factors(drawn):
    theta, powers, seed = drawn
    theta = theta * 10.0**powers
    target = np.random.default_rng(seed).integers(-3, 9, (len(theta), 20)).astype(float)
    arrays = torch.from_numpy(theta), torch.from_numpy(target)
    start = WarmStart()
    for _ in range(2):  # from all factors, and from the supports that were found
        solved = nnls(arrays[0].T @ arrays[0], arrays[1].T @ arrays[0], start=start).numpy().T
        assert solved.min() >= 0
        lengths = np.maximum(np.linalg.norm(theta, axis=0), 1e-300)[:, None]
        descent = theta.T @ (target - theta @ solved) / lengths
        size = 1 + np.linalg.norm(target, axis=0)
        # Nothing is won by more of any factor, nor by less of one that is used.
        assert (descent <= 1e-7 * size).all()
        assert (np.abs(np.minimum(solved * lengths, 1) * descent) <= 1e-7 * size).all()


def plain_least_squares(thetas, X):
    """The sum over the layers of ||X - U_l B_l||^2, every B_l by SciPy."""
    usage, total = np.eye(len(X)), 0.0
    for theta in thetas:
        usage = usage @ theta
        solved = np.stack([scipy.optimize.nnls(usage, column)[0] for column in X.T], axis=1)
        total += ((X - usage @ solved) ** 2).sum()
    return total


def plain_deviance(factors, X):
    """2 sum (x log(x / rate) - x + rate) of the last layer."""
    rate = factors[0] @ factors[1]
    for factor in factors[2:]:
        rate = rate @ factor
    return 2 * (np.where(X > 0, X * np.log(np.maximum(X, 1) / rate), 0) - X + rate).sum()


def steepness(plain, factors, directions, X, step=1e-6):
    """The plain loss's slope in a direction, by central differences."""
    ends = [
        plain([f + sign * step * d for f, d in zip(factors, directions, strict=True)], X)
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * step)


def drawn_problem(seed, ranks, density):
    rng = np.random.default_rng(seed)
    X = rng.poisson(3.0, (12, 8)) * (rng.random((12, 8)) < density)
    shapes = zip((12, *ranks), ranks, strict=False)
    return rng, X.astype(float), [rng.uniform(0.05, 1.0, shape) for shape in shapes]


PROBLEMS = (st.integers(0, 2**32 - 1), st.sampled_from([(3,), (4, 2), (5, 3, 2)]),
            st.floats(0.2, 1.0))  # fmt: skip


@looked_for(25)
@given(*PROBLEMS)
def test_the_loss_and_its_slope_by_least_squares(seed, ranks, density):
    rng, X, thetas = drawn_problem(seed, ranks, density)
    directions = [rng.standard_normal(theta.shape) for theta in thetas]
    network = NeuralNMF([torch.from_numpy(theta.copy()) for theta in thetas])
    loss = network(tensor_products(torch.from_numpy(X))).loss
    loss.backward()
    assert loss.item() == pytest.approx(plain_least_squares(thetas, X), rel=1e-9, abs=1e-9)
    slopes = [theta.grad.numpy() for theta in network.thetas]
    found = sum((g * d).sum() for g, d in zip(slopes, directions, strict=True))
    wanted = steepness(plain_least_squares, thetas, directions, X)
    # Where a support changes within the step, the slope is that of one side.
    wider = steepness(plain_least_squares, thetas, directions, X, 1e-5)
    assume(abs(wanted - wider) < 1e-3 * (1 + abs(wanted)))
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-2)


@looked_for(25)
@given(*PROBLEMS)
def test_the_deviance_and_its_slope(seed, ranks, density):
    rng, X, factors = drawn_problem(seed, (*ranks, 8), density)
    directions = [rng.standard_normal(factor.shape) for factor in factors]
    thetas = [torch.from_numpy(theta.copy()) for theta in factors[:-1]]
    network = LearnedPoisson(thetas, [torch.from_numpy(factors[-1].T.copy())], nested=False)
    loss = network(dense_counts(torch.from_numpy(X))).loss
    loss.backward()
    assert loss.item() == pytest.approx(plain_deviance(factors, X), rel=1e-6)
    slopes = [theta.grad.numpy() for theta in network.thetas]
    slopes.append(network.programs_t[0].grad.numpy().T)
    found = sum((g * d).sum() for g, d in zip(slopes, directions, strict=True))
    assert found == pytest.approx(
        steepness(plain_deviance, factors, directions, X), rel=1e-4, abs=1e-4
    )


LAYERS = st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True).map(
    lambda sizes: sorted(sizes, reverse=True)
)
FIT = st.fixed_dictionaries(
    {},
    optional={
        "layers": LAYERS,
        "epochs": st.integers(1, 1000),
        "lr": st.one_of(st.just("auto"), st.floats(1e-6, 1.0)),
        "seed": st.integers(0, 2**31),
        "beta": st.sampled_from(sorted(LOSSES)),
        "loss": st.sampled_from(["auto", "auto", *CHOICES["loss"]]),
        "transform": st.sampled_from(["auto", *CHOICES["transform"]]),
        "gene_power": st.one_of(st.just("auto"), st.floats(0, 1)),
        "tol": st.floats(0, 1),
        "min_support": st.floats(0, 1e6),
        "consensus": st.sampled_from(["auto", True, False]),
        "checkpoint_minutes": st.floats(0, 100),
        "data_mem_size": st.one_of(st.none(), st.integers(1, 10**9)),
    },
)
NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)


@looked_for(80)
@given(FIT, st.dictionaries(NAMES, FIT, min_size=1, max_size=2))
def test_a_config_that_is_taken_means_the_same_written_out(top, runs):
    raw = {"samples": {"mine": {"simulate": {}}}, **top, "runs": runs}
    try:
        taken = load(raw)
    except ConfigError as error:
        assert str(error).strip() and "Traceback" not in str(error)
        return
    assert load(yaml.safe_load(yaml.safe_dump(raw))) == taken
    # With all that was left out written down, nothing changes.
    settled = {
        name: {key: value for key, value in fit.items() if key not in ("search", "sizes")}
        for name, fit in taken.runs.items()
    }
    assert load({**raw, "runs": settled}).runs == taken.runs


TABLE = b",g1,g2,g3\nc1,0,2,1\nc2,4,0,0\nc3,0,1,7\n"
MATRIX = b"%%MatrixMarket matrix coordinate integer general\n3 3 4\n1 1 4\n2 1 1\n2 3 2\n3 2 9\n"
CHANGES = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4
)


def changed(content: bytes, changes) -> bytes:
    """Some bytes in place of others, at some places."""
    for place, length, new in changes:
        place %= len(content) + 1
        content = content[:place] + new + content[place + length :]
    return content


@looked_for(150)
@given(st.sampled_from(["table", "matrix"]), CHANGES)
def test_a_changed_text_file_is_read_or_refused_in_a_sentence(tmp_path_factory, kind, changes):
    folder = tmp_path_factory.mktemp("changed")
    path = folder / "counts.csv"
    if kind == "table":
        path.write_bytes(changed(TABLE, changes))
    else:
        path = folder
        (folder / "matrix.mtx").write_bytes(changed(MATRIX, changes))
        (folder / "barcodes.tsv").write_text("c1\nc2\nc3\n")
        (folder / "genes.tsv").write_text("g1\tg1\ng2\tg2\ng3\tg3\n")
    try:
        with open_counts(path) as reader:
            parts = [counts for _, counts in reader.chunks(2)]
    except NeuralNMFError as error:
        assert len(str(error).splitlines()) == 1
    else:
        for part in parts:
            assert np.isfinite(part.data).all() and (part.data >= 0).all()
            assert (part.data == np.rint(part.data)).all()
