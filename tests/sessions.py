"""Sessions without a browser: Streamlit's own protocol over a websocket, to have many at once."""

from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect


class Session:
    """One session; what the page would show last is in `elements`, by kind."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket: ClientConnection
        self.elements: dict[str, list[Element]] = {}

    async def __aenter__(self) -> Self:
        url = f"ws://{urlsplit(self._address).netloc}/_stcore/stream"
        self._socket = await connect(url, subprotocols=["streamlit"], max_size=None)  # type: ignore[list-item]
        await self._send(BackMsg())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def wait_for(self, there: Callable[[Self], bool]) -> None:
        """Take in what the server sends until `there` says so."""
        while not there(self):
            message = ForwardMsg.FromString(await self._socket.recv(decode=False))
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.elements = {}
            elif kind == "delta" and message.delta.HasField("new_element"):
                element = message.delta.new_element
                self.elements.setdefault(str(element.WhichOneof("type")), []).append(element)

    def heading(self) -> str:
        """The heading of the screen, '' before there is one."""
        headings = self.elements.get("heading", [])
        return str(headings[-1].heading.body) if headings else ""

    def has_button(self, label: str) -> bool:
        """Whether the screen has this button."""
        return any(one.button.label == label for one in self.elements.get("button", []))

    def picture_address(self) -> str:
        """Where the newest picture is served."""
        return self._address + str(self.elements["imgs"][-1].imgs.imgs[0].url)

    async def generate(self, prompt: str) -> None:
        """Type the prompt and click Generate Image, once the screen has them."""
        await self.wait_for(lambda session: session.has_button("Generate Image"))
        message = BackMsg()
        box = message.rerun_script.widget_states.widgets.add()
        box.id, box.string_value = self.elements["text_area"][-1].text_area.id, prompt
        click = message.rerun_script.widget_states.widgets.add()
        click.id, click.trigger_value = self.elements["button"][-1].button.id, True
        await self._send(message)

    async def _send(self, message: BackMsg) -> None:
        message.rerun_script.query_string = ""
        await self._socket.send(message.SerializeToString())
