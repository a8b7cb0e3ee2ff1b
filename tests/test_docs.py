import re
from pathlib import Path

from utils import state

ROOT = Path(__file__).parent.parent


def test_the_design_lists_the_keys_of_the_shared_store() -> None:
    data = (ROOT / "docs/design.md").read_text().split("## Data")[1].split("## Nodes")[0]
    assert re.findall(r"^\| `(\w+)` \|", data, re.MULTILINE) == list(state.DEFAULTS)


def test_the_design_lists_the_modules() -> None:
    table = (ROOT / "docs/design.md").read_text().split("## Utilities")[1].split("## Data")[0]
    modules = {path.name for path in (ROOT / "utils").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"^\| `(\w+\.py)` \|", table, re.MULTILINE)) == modules


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            assert link.startswith("http") or (document.parent / link).exists(), link


def test_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(
        r"(?:^|`|-\.\.\. )make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE
    ):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
