"""Wrong keys are counted per address, so that no client can try many."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

FREE_GUESSES = 20
GUESS_S = 1.0
_MOST_ADDRESSES = 10_000


class Guesses:
    """After `FREE_GUESSES` wrong keys, an address may try one more per `GUESS_S`; other keys are not checked.

    A key that was right from an address stays valid there: many clients may share the address of one proxy
    with an attacker, and the known ones must go on.
    """

    def __init__(self, clock_s: Callable[[], float] = monotonic) -> None:
        self._clock_s = clock_s
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def wait_s(self, client: str, digests: list[bytes]) -> float:
        """How long the service will not check keys from a client; 0 if it checks them now.

        Args:
            client: its address; an IPv6 network of 64 bits counts as one.
            digests: digests of the keys that it has sent.
        """
        address = self._addresses.get(_group(client))
        if address is None or not address.known.isdisjoint(digests):
            return 0.0
        return max(0.0, address.free_at_s - self._clock_s())

    def wrong(self, client: str, keys: int) -> None:
        """Note that a client has sent so many wrong keys."""
        address, now_s = self._address(client), self._clock_s()
        # All guesses are free again once each has had its `GUESS_S`.
        address.all_free_at_s = max(address.all_free_at_s, now_s) + keys * GUESS_S

    def right(self, client: str, digest: bytes) -> None:
        """Note that a client has sent a right key."""
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
        """When the next key is checked."""
        return self.all_free_at_s - (FREE_GUESSES - 1) * GUESS_S


def _group(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client  # a Unix socket has no address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return client
