"""Telling somebody elsewhere that a person is asked, or has decided: REVIEW_WEBHOOK."""

import logging

from httpx2 import AsyncClient, HTTPError, InvalidURL

from utils.jobs.table import jobs
from utils.review.records import Review
from utils.settings import get_settings

logger = logging.getLogger(__name__)

SECONDS = 10.0


def tell(review: Review) -> None:
    """Post where a review stands: its id, its link, and what has happened. Nothing waits for it."""
    if get_settings().review_webhook:
        jobs.submit(_post(review))


async def _post(review: Review) -> None:
    """Post once: no prompt, no picture and no key. A failure is one line in the log."""
    address = get_settings().review_webhook
    assert address
    kind = review.decision.kind if review.decision else "waiting"
    told = {"id": review.id, "link": review.link, "kind": kind}
    try:
        async with AsyncClient(timeout=SECONDS) as http:
            answer = await http.post(address.get_secret_value(), json=told)
            answer.raise_for_status()
    except (HTTPError, InvalidURL, OSError) as exc:
        logger.warning("REVIEW_WEBHOOK was not told of %s: %s", kind, type(exc).__name__)
