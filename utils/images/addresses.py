"""Routes of our own for pictures and archives: Streamlit's own takes a file away while other
sessions end."""

import threading
from collections.abc import Callable, Iterable

from cachetools import TTLCache
from itsdangerous import BadSignature
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from utils.images.pictures import MIME, extension_of
from utils.review.blobs import blobs
from utils.signing import signer

# Streamlit passes addresses below these paths to the browser as they are.
PATH = "/app/static/pictures"
ARCHIVES = "/app/static/archives"

# Signed, so that nobody finds a picture who was not shown it.
PURPOSE = "picture"
ARCHIVE = "archive"

# Results that lie open at once. Of an archive there is no more here than its record.
KEEP_OFFERS = 1000
# As long as a browser is remembered that is not seen any more.
KEEP_SECONDS = 24 * 3600

_lock = threading.Lock()
_offers: TTLCache[str, Callable[[], Iterable[bytes]]] = TTLCache(KEEP_OFFERS, KEEP_SECONDS)


def address(name: str, version: str = "") -> str:
    """Return where the page finds a picture, or a smaller version of it in a folder below that.

    It has no slash at its start: the app may be served below a path of a host.
    """
    whole = f"{PATH[1:]}/{signer(PURPOSE).sign(name).decode()}"
    return f"{whole}/{version}" if version else whole


def offer(name: str, make: Callable[[], Iterable[bytes]]) -> str:
    """Return where a browser finds the ZIP that `make` makes, each time when it is asked for, as
    fast as the browser takes it.

    The last that was offered by a name is what is found; without a slash as above.
    """
    with _lock:
        _offers[name] = make
    return f"{ARCHIVES[1:]}/{signer(ARCHIVE).sign(name).decode()}"


def serve(request: Request) -> Response:
    """Answer with the picture's own bytes, untouched."""
    name = _signed(PURPOSE, request)
    data = blobs.get(name, request.path_params.get("version", "")) if name else None
    if data is None:
        return Response(status_code=404)
    return Response(data, headers=HEADERS, media_type=MIME[extension_of(data)])


def serve_archive(request: Request) -> Response:
    """Answer with an archive; the page's link has its name."""
    with _lock:
        make = _offers.get(_signed(ARCHIVE, request))
    if make is None:
        return Response(status_code=404)
    return StreamingResponse(make(), headers=NOT_KEPT, media_type="application/zip")


def _signed(purpose: str, request: Request) -> str:
    """Return the name that a request asks for; '' where nobody here has given it its address."""
    try:
        return signer(purpose).unsign(request.path_params["token"]).decode()
    except BadSignature:
        return ""


HEADERS = {
    "Cache-Control": "private, max-age=86400, immutable",
    "X-Content-Type-Options": "nosniff",
}
NOT_KEPT = {"Cache-Control": "no-store", "Content-Disposition": "attachment"}
ROUTES = [
    Route(f"{PATH}/{{token}}", serve),
    Route(f"{PATH}/{{token}}/{{version}}", serve),
    Route(f"{ARCHIVES}/{{token}}", serve_archive),
]
