"""The other yardstick: a page without any framework, which shows the originals as they come."""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

PAGE = """<!doctype html>
<textarea aria-label="Prompt"></textarea>
<button onclick="generate()">Generate Image</button>
<div data-testid="stApp" data-test-script-state="notRunning">
  <h1>Plain</h1>
  <div id="result"></div>
</div>
<script>
  async function generate() {
    const prompt = document.querySelector("textarea").value;
    const answer = await fetch("/generate", {method: "POST", body: prompt});
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const image = document.createElement("img");
    image.style.width = "450px";
    result.replaceChildren(image);
    for (let {done, value} = await reader.read(); !done; {done, value} = await reader.read()) {
      image.src = value.trim().split("\\n").at(-1);
    }
    result.append(Object.assign(document.createElement("button"), {textContent: "Approve"}));
  }
</script>
"""

_pictures: dict[str, bytes] = {}
_numbers = itertools.count()


async def page(_: Request) -> Response:
    return HTMLResponse(PAGE)


async def show_at_once(data: bytes) -> None:
    """Look at no picture before it is shown."""


async def generate(request: Request) -> Response:
    prompt = (await request.body()).decode()

    async def addresses() -> AsyncIterator[str]:
        events = await AsyncOpenAI().images.generate(
            model="gpt-image-2.5-flare", prompt=prompt, stream=True, partial_images=2
        )
        async for event in events:
            data = base64.b64decode(event.b64_json)
            await request.app.state.check(data)
            address = f"/picture/{next(_numbers)}"
            _pictures[address] = data
            yield f"{address}\n"

    return StreamingResponse(addresses(), media_type="text/plain")


async def picture(request: Request) -> Response:
    return Response(_pictures[request.url.path], media_type="image/png")


app = Starlette(
    routes=[
        Route("/", page),
        Route("/_stcore/health", page),
        Route("/generate", generate, methods=["POST"]),
        Route("/picture/{number}", picture),
    ]
)


async def main(check: Callable[[bytes], Awaitable[None]] = show_at_once) -> None:
    """Serve the page at a free port, and say which. Each picture is shown once `check` is done."""
    app.state.check = check
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(f"URL: http://127.0.0.1:{port} ", flush=True)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
