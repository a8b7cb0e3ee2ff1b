"""The same page without a framework, which shows no picture before it has been checked.

It decodes each and makes the smaller versions of it, as the app does.
"""

import asyncio

from tests.bench import plain_page
from utils.images.pictures import check_picture


async def check(data: bytes) -> None:
    """Check a picture outside the loop that serves the page."""
    await asyncio.to_thread(check_picture, data)


if __name__ == "__main__":
    asyncio.run(plain_page.main(check))
