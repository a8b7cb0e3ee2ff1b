"""Before the first screen, where the server knows people: who are you?"""

import threading
import tomllib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
from streamlit.auth_util import validate_auth_credentials
from streamlit.errors import StreamlitAuthError
from streamlit.runtime import exists, get_instance
from streamlit.runtime.agent.interaction import AgentSessionClient
from streamlit.runtime.scriptrunner import get_script_run_ctx

from screens import parts
from utils.review.people import IDS, Person, find_person
from utils.settings import check_secrets

UNKNOWN = (
    "The server does not know who you are: the proxy before it has not said so. "
    "Open this page by the address that you were given."
)


# Set where a login was configured when the server started. Streamlit reads the file of secrets
# again while it runs: one that is being edited must not open the door.
_guarded = threading.Event()


def is_guarded() -> bool:
    """Return whether the server is set to know people: nothing is shown to anybody else."""
    return _trusts_a_proxy() or "is_logged_in" in st.user or _guarded.is_set()


def load_secrets() -> str:
    """Load the secrets; return a sentence that says what of them cannot be used, '' for none."""
    for file in map(Path, st.get_option("secrets.files")):
        try:
            # By any other name it may be a directory of secrets, which Streamlit reads as well.
            is_there = file.suffix == ".toml" and file.exists()
            tomllib.loads(file.read_text("utf-8") if is_there else "")
        except (OSError, ValueError):
            # The server would start without all that is in it: a login, limits, a key.
            return (
                f"{file.name} should be a file of TOML, in UTF-8, that the server may read. "
                "Mend it and start again."
            )
    return check_secrets(st.secrets.to_dict()) if st.secrets.load_if_toml_exists() else ""


def check() -> str:
    """Return a sentence that says what knowing people lacks here, '' where nothing is lacking."""
    if st.secrets.load_if_toml_exists() and "auth" in st.secrets:
        _guarded.set()
        if not isinstance(st.secrets["auth"], Mapping):
            return "The secrets' auth should be a section, [auth]. Change it and start again."
        if find_spec("authlib") is None:
            return (
                "A login is configured, and needs more: "
                'pip install "streamlit[auth]", and start again.'
            )
        try:
            for name in _providers() or [""]:
                validate_auth_credentials(name or "default")
        except StreamlitAuthError as exc:
            return f"{' '.join(str(exc).split())} Then start again."
    elif _trusts_a_proxy() and not {*st.get_option("server.trustedUserHeaders").values()} & {*IDS}:
        return (
            f"server.trustedUserHeaders should call a header one of {', '.join(IDS)}. "
            "Change it and start again."
        )
    return ""


def who() -> Person | None:
    """Return who uses this session; None where they have not said so."""
    if not st.user.get("is_logged_in", _trusts_a_proxy()):
        return None
    return find_person(st.user, _secret())


def is_agent() -> bool:
    """Return whether a program looks at this session, by Streamlit's agent API: nothing that it
    sends says so, and nothing that it sends can deny it."""
    context = get_script_run_ctx()
    client = get_instance().get_client(context.session_id) if context and exists() else None
    return isinstance(client, AgentSessionClient)


def asks_people() -> bool:
    """Return whether people may be asked here to decide: by agents, and by one another."""
    return bool(st.get_option("server.enableAgentApi"))


def address() -> str:
    """Return where this page is, for a link to it that others are sent.

    A browser says where it sees the page, and could say anything: that counts for the host alone
    that its request came to.
    """
    headers = st.context.headers
    seen = urlsplit(st.context.url or "")
    if seen.netloc == headers.get("Host") and seen.scheme in ("http", "https"):
        return f"{seen.scheme}://{seen.netloc}{seen.path.rstrip('/')}/"
    # A program does not say where it has found the page: the proxy does, or nobody.
    scheme = "https" if headers.get("X-Forwarded-Proto") == "https" else "http"
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{scheme}://{headers.get('Host')}/{path}{'/' * bool(path)}"


def render() -> None:
    """Let a person log in, or say why they cannot come in."""
    st.title(parts.TITLE, anchor=False)
    if "is_logged_in" not in st.user:
        st.warning(UNKNOWN)
        return
    st.text("Log in to begin.")
    for name in _providers():
        st.button(
            f"Log in with {name}" if name else "Log in",
            type="primary",
            on_click=st.login,
            args=(name or None,),
        )


def render_person(person: Person | None) -> None:
    """Say who is logged in, and let them log out."""
    if person:
        with st.sidebar:
            st.text(f"You are {person.name}.")
            if "is_logged_in" in st.user:
                st.button("Log out", on_click=st.logout)


def _providers() -> list[str]:
    """Return the names of those who know people here; '' where there is one without a name."""
    auth = st.secrets["auth"]
    named = [str(name) for name, value in auth.items() if isinstance(value, Mapping)]
    return [*[""] * ("client_id" in auth), *(name for name in named if name != "client_kwargs")]


def _secret() -> str:
    """Return what the server signs with: the same after a restart only where it is set."""
    auth = st.secrets.get("auth", {}) if "is_logged_in" in st.user else {}
    return str(auth.get("cookie_secret") or st.get_option("server.cookieSecret"))


def _trusts_a_proxy() -> bool:
    return bool(st.get_option("server.trustedUserHeaders"))
