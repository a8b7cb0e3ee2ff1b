"""How the nodes are wired, and how often they try."""

from collections.abc import Callable

from pocketflow import Flow

from nodes import GenerateImageNode
from utils.jobs import Job


def create_generation_flow(on_news: Callable[[Job], None] = lambda job: None) -> Flow:
    """Return the flow that turns the pending request into a picture under review.

    `on_news` is called with the job while it runs, at least four times a second.
    """
    generate = GenerateImageNode(max_retries=3, first_wait=2.0, on_news=on_news)
    return Flow(start=generate)
