"""The nodes of the flow: what happens to the shared store when a picture is asked for."""

import logging
from collections.abc import Callable
from functools import partial

from pocketflow import Node

from utils import state
from utils.errors import UNKNOWN, ImageError, Problem
from utils.image_api import ImageRequest, request_picture
from utils.jobs import Job, jobs, may_try_again
from utils.pictures import Picture
from utils.settings import choose_engine

logger = logging.getLogger(__name__)


class GenerateImageNode(Node):  # type: ignore[misc]  # pocketflow ships no usable types
    """Turns the pending request of the shared store into a picture.

    PocketFlow's loop does the retrying: `max_retries` tries, with growing waits that begin at
    `first_wait` seconds and are spent in the job, where Cancel reaches them. `on_news` is called
    at least four times a second while the picture is made, and may interrupt: whoever enters
    `exec` again waits for the same job.
    """

    def __init__(self, max_retries: int, first_wait: float, on_news: Callable[[Job], None]) -> None:
        super().__init__(max_retries=max_retries)
        self.first_wait = first_wait
        self.on_news = on_news

    def prep(self, shared: state.Shared) -> ImageRequest:
        """Read the pending request, and who is to serve it."""
        pending = shared["pending"]
        engine = choose_engine(shared["api_key"], pending["model"])
        return ImageRequest(pending["id"], pending["prompt"], engine, pending["options"])

    def exec(self, request: ImageRequest) -> Picture | Problem:
        """Wait for the picture. Raises ImageError if it failed and another try makes sense."""
        job = jobs.join(
            request.id,
            partial(request_picture, request),
            kind=request.kind,
            tries=self.max_retries,
            first_wait=self.first_wait,
        )
        for _ in job.watch():
            self.on_news(job)
        outcome = job.news.outcome
        if isinstance(outcome, Problem) and may_try_again(job.news):
            raise ImageError(outcome)
        return outcome or UNKNOWN

    def exec_fallback(self, request: ImageRequest, exc: Exception) -> Problem:
        """Turn what is left after the last try into something that a person can read."""
        if isinstance(exc, ImageError):
            return exc.problem
        logger.error("request=%s unexpected %s", request.id, type(exc).__name__)
        return UNKNOWN

    def post(self, shared: state.Shared, request: ImageRequest, outcome: Picture | Problem) -> str:
        """Write the picture and the next stage, or the sentence that says why there is none."""
        if isinstance(outcome, Picture):
            state.receive_picture(shared, request.id, outcome, request.engine.model)
        else:
            state.fail(shared, request.id, outcome)
        return str(shared["stage"])
