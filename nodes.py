"""The nodes of the flow: what happens to the shared store when pictures are asked for."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from pocketflow import Node

from utils.images.api import ImageRequest, request_picture
from utils.images.errors import UNKNOWN, ImageError, Problem
from utils.images.pictures import Picture, decode
from utils.jobs.table import Job, Phase, jobs, may_try_again, watch
from utils.review import moves as state
from utils.settings import choose_engine

logger = logging.getLogger(__name__)

Outcomes = list[tuple[ImageRequest, Picture | Problem]]


class GenerateImageNode(Node):  # type: ignore[misc]  # pocketflow ships no usable types
    """Turns the pending request of the shared store into pictures, one or several.

    PocketFlow's loop does the retrying: `max_retries` tries, with growing waits that begin at
    `first_wait` seconds and are spent in the job, where Cancel reaches them. `on_news` is called
    with all the jobs at least four times a second while they run, and may interrupt: whoever
    enters `exec` again waits for the same jobs.
    """

    def __init__(
        self, max_retries: int, first_wait: float, on_news: Callable[[Sequence[Job]], None]
    ) -> None:
        super().__init__(max_retries=max_retries)
        self.first_wait = first_wait
        self.on_news = on_news

    def prep(self, shared: state.Shared) -> list[ImageRequest]:
        """Read what is still waited for, and who is to serve it."""
        pending = shared["pending"]
        engine = choose_engine(shared["api_key"], pending["model"])
        images = tuple(decode(image) for image in pending["images"])
        return [
            ImageRequest(job_id, pending["prompt"], engine, pending["options"], images)
            for job_id in pending["waiting"]
        ]

    def exec(self, requests: list[ImageRequest]) -> Outcomes:
        """Wait until a picture is there or lost for good, and return those that are.

        Raises ImageError if one failed and another try makes sense: only that one is tried again.
        """
        joined = [self._join(request) for request in requests]
        for _ in watch(joined):
            self.on_news(joined)
        for job in joined:
            if isinstance(job.news.outcome, Problem) and may_try_again(job.news):
                raise ImageError(job.news.outcome)
        return [
            (request, job.news.outcome or UNKNOWN)
            for request, job in zip(requests, joined, strict=True)
            if job.news.phase is Phase.ENDED
        ]

    def exec_fallback(self, requests: list[ImageRequest], exc: Exception) -> Outcomes:
        """Leave what may still be tried to the next run; give up what broke in a way of our own."""
        if isinstance(exc, ImageError):
            return []
        logger.error("request=%s unexpected %s", requests[0].id, type(exc).__name__)
        return [(request, UNKNOWN) for request in requests]

    def post(self, shared: state.Shared, requests: list[ImageRequest], outcomes: Outcomes) -> str:
        """Write the pictures and the next stage, or the sentence that says why there is none."""
        for request, outcome in outcomes:
            if isinstance(outcome, Picture):
                state.receive_picture(shared, request.id, outcome, request.engine.model)
            else:
                state.fail(shared, request.id, outcome)
        return str(shared["stage"])

    def _join(self, request: ImageRequest) -> Job:
        return jobs.join(
            request.id,
            partial(request_picture, request),
            kind=request.kind,
            tries=self.max_retries,
            first_wait=self.first_wait,
        )
