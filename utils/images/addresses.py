"""Routes of our own for pictures, and for the script that brings their originals.

Streamlit's own route for pictures takes a file away while other sessions end, and it has none that
serves a script as one.
"""

import secrets
from hashlib import sha256
from pathlib import Path

from itsdangerous import BadSignature, Signer
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from utils.images.pictures import MIME, extension_of
from utils.review.blobs import blobs

# Streamlit passes addresses below this path to the browser as they are.
PATH = "/app/static/pictures"
_SCRIPT = (Path(__file__).parents[2] / "assets" / "pictures.js").read_bytes()
SCRIPT_PATH = f"{PATH}-{sha256(_SCRIPT).hexdigest()[:16]}.js"

# Signed, so that nobody finds a picture who was not shown it.
_signer = Signer(secrets.token_bytes(32))


def address(name: str, version: str = "") -> str:
    """Return where the page finds a picture, or a smaller version of it in a folder below that.

    It has no slash at its start: the app may be served below a path of a host.
    """
    whole = f"{PATH[1:]}/{_signer.sign(name).decode()}"
    return f"{whole}/{version}" if version else whole


async def serve(request: Request) -> Response:
    """Answer with the picture's own bytes, untouched."""
    try:
        name = _signer.unsign(request.path_params["token"]).decode()
    except BadSignature:
        return Response(status_code=404)
    data = blobs.get(name, request.path_params.get("version", ""))
    if data is None:
        return Response(status_code=404)
    return Response(data, headers=HEADERS, media_type=MIME[extension_of(data)])


async def serve_script(request: Request) -> Response:
    """Answer with the script that shows pictures."""
    return Response(_SCRIPT, headers=HEADERS, media_type="text/javascript")


HEADERS = {
    "Cache-Control": "private, max-age=86400, immutable",
    "X-Content-Type-Options": "nosniff",
}
ROUTES = [
    Route(f"{PATH}/{{token}}", serve),
    Route(f"{PATH}/{{token}}/{{version}}", serve),
    Route(SCRIPT_PATH, serve_script),
]
