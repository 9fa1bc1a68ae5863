"""Things that are prepared in threads, ahead of the work that is done with them, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Thread
from typing import Any, TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")

_MOST_WAITING = 2**28  # bytes


class _Unprepared:
    """What waits to be prepared, in the order in which it is."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Future[Any], int]] = deque()
        self._weight = 0

    def add(self, future: Future[Any], weight: int) -> None:
        if weight:
            self._waiting.append((future, weight))
            self._weight += weight

    def weight(self) -> int:
        """Of all but what stands before the first that is not prepared."""
        while self._waiting and self._waiting[0][0].done():
            self._weight -= self._waiting.popleft()[1]
        return self._weight


class _Failure:
    """What kept an item from being prepared, or the items from going on."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def in_order(
    items: Iterable[Item],
    prepare: Callable[[Item], Prepared],
    work: Callable[[list[Prepared]], Iterable[Result]],
    *,
    together: int,
    ahead: int,
    weigh: Callable[[Item], int] = lambda item: 0,
    strip: Callable[[Item], Item] = lambda item: item,
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """Prepares each item in a thread, and works on several at once, in the caller's.

    While some are worked on, or the caller is busy with their results, the next ones are prepared:
    not more than `ahead` of them, so that the memory is bounded.

    Args:
        items: taken in the caller's thread, as they are needed; a generator is closed at the end.
        prepare: for one item, in any thread.
        work: for prepared ones: gives as many results, in their order.
        together: most items for one call of `work`.
        ahead: most items that are prepared meanwhile; 0 where each result is wanted at once.
        weigh: the bytes that an item takes until it is prepared. Where those that wait for it take
            more than a quarter of a gigabyte, no more are fetched.
        strip: what is kept of an item after that, to be yielded with its result.

    Yields:
        Each item as `strip` leaves it, in order, with its result, or with what `prepare` raised.

    Raises:
        Exception: what `work` raised, or `items` itself: after the results of what came before.

    Example:
        >>> def lengths(words):
        ...     return map(len, words)
        >>> words = ["a", None, "ccc"]
        >>> for word, length in in_order(words, str.upper, lengths, together=2, ahead=2):
        ...     print(word, length)
        a 1
        None descriptor 'upper' for 'str' objects doesn't apply to a 'NoneType' object
        ccc 3
    """
    source = iter(items)
    broken: Exception | None = None
    pending: deque[tuple[Item, Future[Prepared | _Failure]]] = deque()
    unprepared = _Unprepared()

    def fill(most: int) -> Exception | None:
        try:
            while len(pending) < most and unprepared.weight() < _MOST_WAITING:
                item = next(source)
                future = pool.submit(_attempt, prepare, item)
                pending.append((strip(item), future))
                unprepared.add(future, weigh(item))
        except StopIteration:
            return None
        except Exception as error:
            return error
        return None

    pool = ThreadPoolExecutor(min(together, available_threads()), "s3fd-reader")
    try:
        while True:
            broken = broken or fill(together)
            if not pending:
                break
            taken = [pending.popleft() for _ in range(min(together, len(pending)))]
            outcomes = [(item, future.result()) for item, future in taken]
            del taken
            broken = broken or fill(ahead)
            yield from _results(outcomes, work)
    finally:
        pool.shutdown(cancel_futures=True)
        if isinstance(source, Generator):
            source.close()
    if broken is not None:
        raise broken


def _attempt(prepare: Callable[[Item], Prepared], item: Item) -> Prepared | _Failure:
    try:
        return prepare(item)
    except Exception as error:
        return _Failure(error)


def _results(
    outcomes: list[tuple[Item, Prepared | _Failure]],
    work: Callable[[list[Prepared]], Iterable[Result]],
) -> Iterator[tuple[Item, Result | Exception]]:
    prepared = [outcome for _, outcome in outcomes if not isinstance(outcome, _Failure)]
    results = iter(work(prepared) if prepared else ())
    for item, outcome in outcomes:
        yield item, outcome.error if isinstance(outcome, _Failure) else next(results)


def read_ahead(
    items: Iterable[Item], most: int, *, newest: bool = False
) -> Generator[Item, None, None]:
    """The same items, taken in a thread of its own, ahead of the caller.

    Args:
        items: closed in that thread, at the end or when the caller is done with them.
        most: items that wait for the caller at most.
        newest: where the caller is slow, let new items take the place of the oldest that wait.

    Raises:
        Exception: what `items` raised, after what came before.

    Example:
        >>> list(read_ahead(range(5), most=2))
        [0, 1, 2, 3, 4]
    """
    waiting: deque[Item] = deque(maxlen=most)
    changed = Condition()
    ended: list[Exception | None] = []
    left = False

    def take() -> None:
        source, error = iter(items), None
        try:
            for item in source:
                with changed:
                    changed.wait_for(lambda: newest or left or len(waiting) < most)
                    if left:
                        return
                    waiting.append(item)
                    changed.notify_all()
        except Exception as raised:
            error = raised
        finally:
            if isinstance(source, Generator):
                source.close()
            with changed:
                ended.append(error)
                changed.notify_all()

    thread = Thread(target=take, name="s3fd-ahead", daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: waiting or ended)
                if not waiting:
                    break
                item = waiting.popleft()
                changed.notify_all()
            yield item
    finally:
        with changed:
            left = True
            changed.notify_all()
        thread.join(timeout=1.0)  # a camera that hangs does not keep the caller
    if ended[0] is not None:
        raise ended[0]


def available_threads() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
