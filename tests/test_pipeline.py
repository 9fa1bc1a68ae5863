"""Things prepared in threads, in order and in bounded memory."""

import threading
import weakref
from contextlib import closing

import pytest

from s3fd.pipeline import in_order, read_ahead


def ready(items):
    return list(items)


@pytest.mark.parametrize("together", [1, 2, 3, 50])
@pytest.mark.parametrize("ahead", [0, 1, 50])
def test_results_come_in_the_order_of_their_items(together, ahead):
    calls = []

    def work(prepared):
        calls.append(len(prepared))
        return [-value for value in prepared]

    results = list(in_order(range(20), lambda i: 10 * i, work, together=together, ahead=ahead))
    assert results == [(i, -10 * i) for i in range(20)]
    assert max(calls) == min(together, 20)


def test_what_cannot_be_prepared_comes_in_its_place_and_is_not_worked_on():
    def prepare(item):
        if item % 3 == 0:
            raise ValueError(item)
        return item

    results = dict(in_order(range(7), prepare, ready, together=2, ahead=2))
    assert [i for i, result in results.items() if isinstance(result, ValueError)] == [0, 3, 6]
    assert [i for i, result in results.items() if result == i] == [1, 2, 4, 5]


def test_the_next_ones_are_prepared_while_these_are_worked_on():
    prepared, waiting = [], threading.Event()

    def prepare(item):
        prepared.append(item)
        if item == 3:
            waiting.set()
        return item

    def work(items):
        assert items != [0, 1] or waiting.wait(timeout=30)
        return items

    assert len(list(in_order(range(8), prepare, work, together=2, ahead=2))) == 8


def noted(taken):
    """A hundred numbers, each noted in `taken` when it is fetched."""
    for i in range(100):
        taken.append(i)
        yield i


def test_no_more_is_taken_than_is_needed():
    taken = []
    with closing(in_order(noted(taken), int, ready, together=3, ahead=2)) as results:
        next(results)
        assert len(taken) == 5
    with closing(in_order(noted(taken), int, ready, together=1, ahead=0)) as results:
        taken.clear()
        next(results)
        assert len(taken) == 1


def test_an_error_of_the_items_comes_after_the_results_of_those_before():
    def items():
        yield from range(5)
        raise RuntimeError("no more")

    results = in_order(items(), int, ready, together=3, ahead=3)
    assert [next(results)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="no more"):
        next(results)


def test_leaving_early_ends_the_threads():
    before = threading.active_count()
    with closing(in_order(range(10**6), int, ready, together=4, ahead=4)) as results:
        next(results)
    with closing(read_ahead(iter(range(10**6)), most=3)) as items:
        next(items)
    assert threading.active_count() == before


class Thing:
    pass


def test_memory_holds_no_more_than_what_is_prepared():
    alive = weakref.WeakSet()

    def prepare(item):
        thing = Thing()
        alive.add(thing)
        return thing

    most = 0
    for _ in in_order(range(200), prepare, lambda things: [1] * len(things), together=4, ahead=4):
        most = max(most, len(alive))
    assert 4 <= most <= 8


def test_items_that_are_prepared_are_let_go():
    alive = weakref.WeakSet()

    def things():
        for _ in range(50):
            thing = Thing()
            alive.add(thing)
            yield thing
            del thing

    def work(prepared):
        assert len(alive) <= 5  # those of the next call, and the one that is fetched
        return prepared

    results = in_order(things(), id, work, together=4, ahead=0, strip=lambda _: None)
    assert [item for item, _ in results] == [None] * 50


def test_no_more_is_fetched_than_may_wait():
    held, going = threading.Event(), threading.Event()
    taken, calls = [], []

    def prepare(item):
        held.wait(timeout=30)
        return item

    def work(prepared):
        calls.append(len(prepared))
        return prepared

    def items():
        for item in noted(taken):
            if len(taken) == 4:
                going.set()
            yield item

    def let_go():
        assert going.wait(timeout=30)
        held.set()

    thread = threading.Thread(target=let_go)
    thread.start()
    results = in_order(items(), prepare, work, together=50, ahead=50, weigh=lambda _: 2**26)
    assert [result for _, result in results] == list(range(100))
    thread.join()
    assert calls[0] == 4  # of 64 MiB each
    assert max(calls) <= 50


@pytest.mark.parametrize("most", [1, 3, 100])
def test_reading_ahead_changes_neither_the_items_nor_their_error(most):
    def items():
        yield from range(50)
        raise KeyError("end")

    ahead = read_ahead(items(), most)
    assert [next(ahead) for _ in range(50)] == list(range(50))
    with pytest.raises(KeyError, match="end"):
        next(ahead)
    assert list(read_ahead([], most)) == []


def test_reading_ahead_is_bounded():
    taken = []
    with closing(read_ahead(noted(taken), most=3)) as ahead:
        for i in ahead:
            assert len(taken) <= i + 5  # it, three that wait, and the one that has no room
            if i == 20:
                break


def test_the_newest_items_take_the_place_of_those_that_wait():
    given = threading.Event()

    def items():
        yield 0
        yield from range(1, 10)
        given.set()

    ahead = read_ahead(items(), most=1, newest=True)
    first = next(ahead)
    assert given.wait(timeout=30)
    rest = list(ahead)
    assert (first, rest) == (9, []) or (first < 9 and rest == [9])
