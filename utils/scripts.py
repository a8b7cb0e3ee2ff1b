"""Serves the page's own scripts, which Streamlit would send anew with each run."""

from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# Streamlit passes addresses below this path to the browser as they are.
PATH = "/app/static/scripts"
HEADERS = {"Cache-Control": "private, max-age=86400, immutable"}
_by_name = {
    path.name: path.read_bytes() for path in (Path(__file__).parents[1] / "assets").glob("*.js")
}
_addresses = {name: f"{sha256(script).hexdigest()[:8]}-{name}" for name, script in _by_name.items()}
_by_address = {address: _by_name[name] for name, address in _addresses.items()}


def script_tag(name: str) -> str:
    """Return HTML that runs a script of the assets, once for each page. KeyError: there is none."""
    # Without a slash at its start: the app may be served below a path of a host.
    return f'<script type="module" src="{PATH[1:]}/{_addresses[name]}"></script>'


async def serve(request: Request) -> Response:
    """Answer with a script."""
    script = _by_address.get(request.path_params["name"])
    if script is None:
        return Response(status_code=404)
    return Response(script, headers=HEADERS, media_type="text/javascript")


ROUTES = [Route(f"{PATH}/{{name}}", serve)]
