"""Wrong keys, counted for each address, so that nobody tries many."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

FREE_GUESSES = 20
GUESS_S = 1.0
_MOST_ADDRESSES = 10_000


class Guesses:
    """Who has sent `FREE_GUESSES` wrong keys has one more for each `GUESS_S`; until then, none is looked at.

    A key that was right from an address stays so: many clients may share the address of one proxy with
    somebody who guesses, and those who are known there go on.
    """

    def __init__(self, clock_s: Callable[[], float] = monotonic) -> None:
        self._clock_s = clock_s
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def wait_s(self, client: str, digests: list[bytes]) -> float:
        """How long keys from a client are not looked at; 0 where they are.

        Args:
            client: its address; of IPv6 a whole network of 64 bits counts as one.
            digests: of the keys that it has sent.
        """
        address = self._addresses.get(_group(client))
        if address is None or not address.known.isdisjoint(digests):
            return 0.0
        return max(0.0, address.free_at_s - self._clock_s())

    def wrong(self, client: str, keys: int) -> None:
        """A client has sent that many keys, and none of them is right."""
        address, now_s = self._address(client), self._clock_s()
        # When all of its guesses are free again lies at most as far ahead as they take to come back.
        address.all_free_at_s = max(address.all_free_at_s, now_s) + keys * GUESS_S

    def right(self, client: str, digest: bytes) -> None:
        """A client has sent a key that is right."""
        self._address(client).known.add(digest)

    def _address(self, client: str) -> _Address:
        group = _group(client)
        address = self._addresses.get(group)
        if address is None:
            address = self._addresses[group] = _Address()
            if len(self._addresses) > _MOST_ADDRESSES:
                self._addresses.popitem(last=False)
        self._addresses.move_to_end(group)
        return address


class _Address:
    """What is known of an address."""

    def __init__(self) -> None:
        self.all_free_at_s = 0.0
        self.known: set[bytes] = set()  # digests of the service's own keys, so there are few

    @property
    def free_at_s(self) -> float:
        """When a guess is free."""
        return self.all_free_at_s - (FREE_GUESSES - 1) * GUESS_S


def _group(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client  # a socket of this machine has no address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return client
