"""How many files this process may hold open: each page that is shown takes some, as sockets."""

from contextlib import suppress

# Where nothing bounds it: more a Mac refuses.
ENOUGH = 10_240


def raise_limit() -> None:
    """Take as many open files as the system allows; it gives less until it is asked.

    Where that cannot be had it stays as it is: that is enough for some hundred pages.
    """
    # Windows has no such limit.
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = ENOUGH if hard == resource.RLIM_INFINITY else hard
        # What stands for no limit may be a negative number.
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
