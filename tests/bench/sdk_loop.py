"""The other yardstick: a script that calls the SDK in a loop, and keeps each picture in a file.

With "check" it also decodes whatever comes and makes the smaller versions, as the app does.
"""

import base64
import sys
import time
from pathlib import Path

from openai import OpenAI

from utils.images.pictures import check_draft, check_picture


def make(client: OpenAI, prompt: str, *, check: bool) -> bytes:
    """Take in the same stream as the app does, drafts included; return the picture."""
    image = b""
    for event in client.images.generate(
        model="gpt-image-2.5-flare", prompt=prompt, stream=True, partial_images=2
    ):
        image = base64.b64decode(event.b64_json)
        if check:
            (check_draft if "partial" in event.type else check_picture)(image)
    return image


def main() -> None:
    """Make so many pictures in a folder; print the CPU seconds of each, the first left out."""
    pictures, folder, check = int(sys.argv[1]), Path(sys.argv[2]), "check" in sys.argv
    client = OpenAI(max_retries=0)
    make(client, "warm-up", check=check)
    before = time.process_time()
    for number in range(pictures):
        (folder / f"{number}.png").write_bytes(make(client, f"loop {number}", check=check))
    print((time.process_time() - before) / pictures)


if __name__ == "__main__":
    main()
