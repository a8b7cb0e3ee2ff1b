"""How the nodes are wired, and how often they try."""

from collections.abc import Callable, Sequence

from pocketflow import Flow

from nodes import GenerateImageNode
from utils.jobs.table import Job


def create_generation_flow(on_news: Callable[[Sequence[Job]], None] = lambda jobs: None) -> Flow:
    """Return the flow that turns the pending request into a picture under review.

    `on_news` is called with the jobs while they run, at least four times a second. With several
    pictures the flow ends with the first that is there, and is run again for the others.
    """
    generate = GenerateImageNode(max_retries=3, first_wait=2.0, on_news=on_news)
    return Flow(start=generate)
