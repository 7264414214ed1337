"""Passwords of people who are not known yet: hashed apart from the requests of those who are.

A hash costs a processor some tens of milliseconds, on purpose, and anybody may ask for one. So hashes have
threads of their own, of low priority; few may wait for them, and an address has some wrong passwords in a
minute. An address from which somebody was right has a thread that strangers do not have.
"""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hydria.api.faults import TooMany

_T = TypeVar("_T")
_WRONG = 10  # passwords of an address in _SECONDS
_SECONDS = 60.0
_FRIENDLY_SECONDS = 86400.0
_WAITING = 4  # at each thread, with the one whose turn it is
_ADDRESSES = 10_000
_NICE = 15


class Guesses:
    """Who may have a password hashed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._friendly: OrderedDict[str, float] = OrderedDict()
        self._strangers, self._friends = _Line("passwords"), _Line("passwords-friends")

    def judged(self, address: str, check: Callable[[], bool]) -> bool:
        """What ``check`` says. Raises TooMany where the address has guessed too much, or too many wait."""
        now, place = time.monotonic(), network(address)
        with self._lock:
            guesses = self._wrong.get(place, deque())
            while guesses and now - guesses[0] > _SECONDS:
                guesses.popleft()
            if len(guesses) >= _WRONG:
                raise TooMany(
                    "There were too many wrong passwords from your address.",
                    seconds=1 + int(guesses[0] + _SECONDS - now),
                )
            friendly = now - self._friendly.get(place, -_FRIENDLY_SECONDS) < _FRIENDLY_SECONDS
        right = (self._friends if friendly else self._strangers).run(check)
        with self._lock:
            if right:
                _note(self._friendly, place, now)
            else:
                _note(self._wrong, place, self._wrong.get(place, deque(maxlen=_WRONG)))
                self._wrong[place].append(now)
        return right


class _Line:
    """A thread, and the few who may wait for it."""

    def __init__(self, name: str) -> None:
        self._places = threading.BoundedSemaphore(_WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_give_way)

    def run(self, check: Callable[[], bool]) -> bool:
        if not self._places.acquire(blocking=False):
            raise TooMany("Too many passwords are being checked.", seconds=1)
        try:
            return self._thread.submit(check).result()
        finally:
            self._places.release()


def network(address: str) -> str:
    """What one client can take addresses of: an address of IPv4, a /64 of IPv6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a Unix socket's
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)


def _note(table: OrderedDict[str, _T], place: str, value: _T) -> None:
    table[place] = value
    table.move_to_end(place)
    while len(table) > _ADDRESSES:
        table.popitem(last=False)


def _give_way() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)  # of this thread alone, on Linux
