"""The threads of a fit: all pieces are done, failures come through, and nothing is left changed."""

import threading

import pytest
import torch
from neuralNMF.threads import Threads, threads_of_a_fit


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_piece_is_done_and_results_are_in_order(count):
    threads = Threads(count)
    assert threads.run(lambda a, b: a * b, [(n, 2) for n in range(50)]) == list(range(0, 100, 2))
    assert threads.run(lambda a: a, []) == []
    threads.close()


@pytest.mark.parametrize("count", [1, 3])
def test_a_failure_in_any_thread_comes_through(count):
    def fails(number: int) -> int:
        if number == 7:
            raise ValueError("the seventh")
        return number

    threads = Threads(count)
    for _ in range(5):
        with pytest.raises(ValueError, match="the seventh"):
            threads.run(fails, [(n,) for n in range(10)])
    threads.close()


def test_a_piece_may_share_out_pieces_of_its_own():
    threads = Threads(2)
    sums = threads.run(
        lambda n: sum(threads.run(lambda m: n * m, [(m,) for m in range(4)])),
        [(n,) for n in range(6)],
    )
    assert sums == [6 * n for n in range(6)]
    threads.close()


@pytest.mark.parametrize(("size", "unit"), [(0, 1), (1, 8), (7, 8), (64, 8), (1000, 64)])
def test_ranges_cover_all_items_and_begin_at_multiples_of_the_unit(size, unit):
    ranges = Threads(3).split(size, unit)
    assert [item for first, past in ranges for item in range(first, past)] == list(range(size))
    assert all(first % unit == 0 and past > first for first, past in ranges)


def test_fits_at_once_share_one_change_of_torchs_threads():
    before = torch.get_num_threads()
    counts, inside, go_on = [], threading.Event(), threading.Event()

    def other() -> None:
        with threads_of_a_fit(None) as threads:
            counts.append(threads.count)
            inside.set()
            go_on.wait(30)
            counts.append(torch.get_num_threads())

    try:
        torch.set_num_threads(3)
        thread = threading.Thread(target=other)
        with threads_of_a_fit(None) as threads:
            assert threads.count == 3
            assert torch.get_num_threads() == 1
            thread.start()
            assert inside.wait(30)
        go_on.set()
        thread.join()
        assert counts == [3, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
