"""Routes of our own for pictures: Streamlit's own takes a file away while other sessions end."""

from itsdangerous import BadSignature
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from utils.images.pictures import MIME, extension_of
from utils.review.blobs import blobs
from utils.signing import signer

# Streamlit passes addresses below this path to the browser as they are.
PATH = "/app/static/pictures"

# Signed, so that nobody finds a picture who was not shown it.
PURPOSE = "picture"


def address(name: str, version: str = "") -> str:
    """Return where the page finds a picture, or a smaller version of it in a folder below that.

    It has no slash at its start: the app may be served below a path of a host.
    """
    whole = f"{PATH[1:]}/{signer(PURPOSE).sign(name).decode()}"
    return f"{whole}/{version}" if version else whole


def serve(request: Request) -> Response:
    """Answer with the picture's own bytes, untouched."""
    try:
        name = signer(PURPOSE).unsign(request.path_params["token"]).decode()
    except BadSignature:
        return Response(status_code=404)
    data = blobs.get(name, request.path_params.get("version", ""))
    if data is None:
        return Response(status_code=404)
    return Response(data, headers=HEADERS, media_type=MIME[extension_of(data)])


HEADERS = {
    "Cache-Control": "private, max-age=86400, immutable",
    "X-Content-Type-Options": "nosniff",
}
ROUTES = [
    Route(f"{PATH}/{{token}}", serve),
    Route(f"{PATH}/{{token}}/{{version}}", serve),
]
