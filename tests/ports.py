"""Ports for servers that cannot take one from the system by themselves."""

import random
import socket

# Below those that the system gives to connections: it may give one out before the server has it.
# Above 10080, the last that browsers refuse (https://fetch.spec.whatwg.org/#port-blocking).
LOWEST, HIGHEST = 10_081, 32_000


def free_port() -> int:
    """Return a port that is free now, and that the system gives to nobody by itself."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.randrange(LOWEST, HIGHEST)))
            except OSError:
                continue
            return int(probe.getsockname()[1])
