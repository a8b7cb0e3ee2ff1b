"""A route of our own for pictures: Streamlit's own takes a file away while other sessions end."""

import secrets

from itsdangerous import BadSignature, Signer
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from utils.images.pictures import MIME, extension_of
from utils.review.blobs import blobs

# Streamlit passes addresses below this path to the browser as they are.
PATH = "/app/static/pictures/{token}"

# Signed, so that nobody finds a picture who was not shown it.
_signer = Signer(secrets.token_bytes(32))


def address(name: str, version: str = "") -> str:
    """Return where the page finds a picture, or a smaller version of it."""
    return PATH.format(token=_signer.sign(f"{name}.{version}").decode())


async def serve(request: Request) -> Response:
    """Answer with the picture's own bytes, untouched."""
    try:
        name, _, version = _signer.unsign(request.path_params["token"]).decode().partition(".")
    except BadSignature:
        return Response(status_code=404)
    data = blobs.get(name, version)
    if data is None:
        return Response(status_code=404)
    headers = {
        "Cache-Control": "private, max-age=86400, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(data, headers=headers, media_type=MIME[extension_of(data)])


ROUTES = [Route(PATH, serve)]
