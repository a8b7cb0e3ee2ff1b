"""Sessions without a browser: Streamlit's own protocol over a websocket, to have many at once."""

import re
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Block_pb2 import Block
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol


class Session:
    """One session; what the page would show last is in `elements`, by kind.

    `cookie` is that of the browser it belongs to, '' for one that is not known again, and `query`
    what the page's address has after its question mark.
    """

    def __init__(self, address: str, cookie: str = "", query: str = "") -> None:
        self._address = address
        self._cookie = cookie
        self._query = query
        self._socket: ClientConnection
        # The server's name for it, by which a page that has lost its connection comes back.
        self.session_id = ""
        self.elements: dict[str, list[Element]] = {}
        self.blocks: list[Block] = []
        self.runs_begun = 0
        self.runs_finished = 0
        self.bytes_of_run = 0

    async def __aenter__(self) -> Self:
        url = f"ws://{urlsplit(self._address).netloc}/_stcore/stream"
        protocols = ["streamlit", *(["no-token", self.session_id] if self.session_id else [])]
        self._socket = await connect(
            url,
            subprotocols=[Subprotocol(one) for one in protocols],
            additional_headers={"Cookie": self._cookie} if self._cookie else {},
            max_size=None,
            # What nobody takes in any more must not hold up the closing.
            max_queue=None,
        )
        await self._send(BackMsg())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def wait_for(self, there: Callable[[Self], bool]) -> None:
        """Take in what the server sends until `there` says so."""
        while not there(self):
            received = await self._socket.recv(decode=False)
            message = ForwardMsg.FromString(received)
            self.bytes_of_run += len(received)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session_id = message.new_session.initialize.session_id
                self.elements = {}
                self.blocks = []
                self.runs_begun += 1
                self.runs_finished = 0
                self.bytes_of_run = len(received)
            elif kind == "script_finished":
                self.runs_finished += 1
            elif kind == "delta" and message.delta.HasField("new_element"):
                element = message.delta.new_element
                self.elements.setdefault(str(element.WhichOneof("type")), []).append(element)
            elif kind == "delta" and message.delta.HasField("add_block"):
                self.blocks.append(message.delta.add_block)

    async def rerun(self) -> None:
        """Have the script run once more, and wait for its end."""
        await self._send(BackMsg())
        self.runs_finished = 0
        await self.wait_for(lambda session: session.runs_finished > 0)

    async def wait_until_settled(self, label: str) -> None:
        """Wait for the end of a run that has this button, ready, and no picture to wait for."""
        await self.wait_for(
            lambda session: (
                session.runs_finished > 0
                and not session.has_button("Cancel")
                and any(
                    one.button.label == label and not one.button.disabled
                    for one in session.elements.get("button", [])
                )
            )
        )

    def heading(self) -> str:
        """The heading of the screen, '' before there is one."""
        bodies = [one.html.body for one in self.elements.get("html", [])]
        found = re.findall(r"<h1>(.*?)</h1>", "".join(bodies))
        return str(found[-1]) if found else ""

    def has_button(self, label: str) -> bool:
        """Whether the screen has this button."""
        return any(one.button.label == label for one in self.elements.get("button", []))

    def pictures(self) -> list[str]:
        """The addresses of the pictures on the screen, below the app's own."""
        written = "".join(one.html.body for one in self.elements.get("html", []))
        return re.findall(r'<img src="([^"]*)"', written)

    def picture_address(self) -> str:
        """Where the newest picture is served."""
        screens = [one for one in self.pictures() if one.endswith("/screen")]
        return f"{self._address}/{screens[-1].removesuffix('/screen')}"

    def button_id(self, label: str) -> str:
        """The id of the newest rendering of a button."""
        buttons = [one.button for one in self.elements["button"] if one.button.label == label]
        return str(buttons[-1].id)

    async def click(self, button_id: str, **texts: str) -> None:
        """Click a button, whether the screen still has it or not; `texts` are typed before."""
        self.runs_finished = 0
        message = BackMsg()
        widgets = message.rerun_script.widget_states.widgets
        for box_id, text in texts.items():
            widgets.add(id=box_id, string_value=text)
        widgets.add(id=button_id, trigger_value=True)
        await self._send(message)

    async def generate(self, prompt: str) -> None:
        """Type the prompt and click Generate Image, once the screen has them."""
        await self.wait_for(lambda session: session.has_button("Generate Image"))
        box_id = self.elements["text_area"][-1].text_area.id
        await self.click(self.button_id("Generate Image"), **{box_id: prompt})

    async def _send(self, message: BackMsg) -> None:
        message.rerun_script.query_string = self._query
        await self._socket.send(message.SerializeToString())
