"""The other yardstick: a script that calls the SDK in a loop, and keeps each picture in a file."""

import base64
import sys
import time
from pathlib import Path

from openai import OpenAI


def make(client: OpenAI, prompt: str) -> bytes:
    """Take in the same stream as the app does, drafts included; return the picture."""
    image = ""
    for event in client.images.generate(
        model="gpt-image-2.5-flare", prompt=prompt, stream=True, partial_images=2
    ):
        image = event.b64_json
    return base64.b64decode(image)


def main() -> None:
    """Make so many pictures in a folder; print the CPU seconds of each, the first left out."""
    pictures, folder = int(sys.argv[1]), Path(sys.argv[2])
    client = OpenAI(max_retries=0)
    make(client, "warm-up")
    before = time.process_time()
    for number in range(pictures):
        (folder / f"{number}.png").write_bytes(make(client, f"loop {number}"))
    print((time.process_time() - before) / pictures)


if __name__ == "__main__":
    main()
