"""Real servers by others, each in a process of its own, as `make test-servers` installs them."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.conftest import ROOT

SERVERS = ROOT / ".venv-servers"
NODE = SERVERS / "bin" / "node"
MODULES = SERVERS / "node_modules"
GATEWAY_KEY = "sk-gateway"
UPSTREAM_KEY = "sk-upstream"
# USD per token: other prices than ours, so that a page tells by its figure which it has.
PRICES = {"input_cost_per_token": 5e-6, "output_cost_per_token": 4e-5}


@contextmanager
def run_litellm(
    folder: Path,
    upstream: str,
    models: Sequence[str],
    router: Mapping[str, object],
    timeouts: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[str]:
    """Start a LiteLLM proxy before the Images API at `upstream`, and give its address.

    It serves the models under their own names; `router` are its `router_settings`, `timeouts` the
    seconds that it gives some of the models, instead of its 600.
    """
    config = folder / "config.yaml"
    entries = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": upstream,
                "api_key": UPSTREAM_KEY,
                "timeout": timeouts.get(model, 600),
            },
            "model_info": {"mode": "image_generation", **PRICES},
        }
        for model in models
    ]
    # JSON is YAML, too.
    config.write_text(
        json.dumps(
            {
                "model_list": entries,
                "router_settings": dict(router),
                "general_settings": {"master_key": GATEWAY_KEY},
            }
        )
    )
    # Its own list of prices, instead of one from the network.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [str(SERVERS / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    with _run(folder, command, "--port={}", "/health/liveliness", environment) as address:
        yield f"{address}/v1"


@contextmanager
def run_aimock(folder: Path, image: str) -> Iterator[str]:
    """Start an aimock that answers each prompt with `image` (base64), and give its address."""
    fixtures = folder / "fixtures.json"
    rule = {"match": {"endpoint": "image"}, "response": {"image": {"b64Json": image}}}
    fixtures.write_text(json.dumps({"fixtures": [rule]}))
    script = MODULES / "@copilotkit" / "aimock" / "dist" / "cli.js"
    command = [str(NODE), str(script), "--fixtures", str(fixtures)]
    with _run(folder, command, "--port={}", "/v1/models", {}) as address:
        yield f"{address}/v1"


@contextmanager
def _run(
    folder: Path,
    command: Sequence[str],
    port_option: str,
    health: str,
    environment: Mapping[str, str],
) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, port_option.format(port)],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_healthy(address + health, process, log)
        yield address
    finally:
        # With all that it has started: Node is the child of a script. And without a word: LiteLLM
        # would wait for calls that hang before it ends.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"The server did not start:\n{log.read_text()}")
