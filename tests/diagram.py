"""Draws the flow as it is wired, by walking PocketFlow's own nodes and successors.

`python -m tests.diagram` writes the drawing into the documents; a test holds them against it.
"""

import re
from pathlib import Path

from pocketflow import BaseNode

from flow import create_flow
from nodes import StageNode

ROOT = Path(__file__).parent.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "docs/design.md")
DRAWING = re.compile(r"(?<=```mermaid\nstateDiagram-v2\n).*?(?=```)", re.DOTALL)


def draw() -> str:
    """Return the arrows of the flow as the lines of a Mermaid state diagram."""
    first = create_flow("initial_input").start_node
    lines, seen, left = [f"    [*] --> {name(first)}"], {id(first)}, [first]
    while left:
        node = left.pop(0)
        for action, successor in node.successors.items():
            lines.append(f"    {name(node)} --> {name(successor)}: {action}")
            if id(successor) not in seen:
                seen.add(id(successor))
                left.append(successor)
    return "\n".join(lines) + "\n"


def name(node: BaseNode) -> str:
    """Return what a node is called in the drawing: its stage, or the name of its class."""
    if isinstance(node, StageNode):
        return node.stage
    return type(node).__name__ if node.successors else "[*]"


def drawing_in(document: Path) -> str:
    """Return the drawing that stands in a document."""
    (found,) = DRAWING.findall(document.read_text())
    return str(found)


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(DRAWING.sub(draw(), document.read_text()))
