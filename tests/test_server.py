import asyncio

import app
from utils.images.errors import CANCELLED
from utils.jobs.table import Phase, jobs


def test_no_job_outlives_the_server() -> None:
    never = asyncio.Event()

    async def call(on_partial: object) -> None:
        await never.wait()

    async def serve() -> None:
        async with app.lifespan(app.app):
            job = jobs.join("outlive", call, tries=3, first_wait=1)  # type: ignore[arg-type]
            assert job.news.phase is not Phase.ENDED
        assert job.news.outcome == CANCELLED

    asyncio.run(serve())
