import re
import tomllib
from pathlib import Path

from streamlit.config import get_config_options

from tests.states import BACKGROUNDS
from utils.review import moves as state
from utils.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


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


def test_commands_of_the_documents_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        found = re.findall(r"(?:^|`|\S=\S+ )make ([a-z-]+)", document.read_text(), re.MULTILINE)
        for target in found:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_files_that_the_readme_names_are_there() -> None:
    for name in re.findall(r"(?:-r|run) (\w[\w.-]*\.(?:py|txt))", README):
        assert (ROOT / name).is_file(), name


def test_variables_of_the_readme_are_settings_of_the_app_or_of_streamlit() -> None:
    known = {name.upper() for name in Settings.model_fields}
    for option in get_config_options():
        words = re.sub(r"([a-z])([A-Z])", r"\1_\2", option).replace(".", "_")
        known.add(f"STREAMLIT_{words.upper()}")
    used = set(re.findall(r"\b((?:OPENAI|IMAGE|STREAMLIT)_[A-Z_]+)", README))
    assert used
    assert used <= known


def test_every_table_of_the_documents_is_whole() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for table in re.findall(r"(?:^\|.*\n)+", document.read_text(), re.MULTILINE):
            columns = {line.count("|") for line in table.splitlines()}
            assert len(columns) == 1, table


def test_the_design_names_the_libraries() -> None:
    table = (ROOT / "docs/design.md").read_text().split("## Libraries")[1].split("Rejected")[0]
    required = (ROOT / "requirements.txt").read_text()
    assert set(re.findall(r"[a-z][a-z0-9-]+(?=>=)", required)) <= set(re.findall(r"[\w-]+", table))


def test_the_themes_are_those_that_are_tested() -> None:
    theme = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())["theme"]
    for scheme, background in BACKGROUNDS.items():
        colour = theme[scheme]["backgroundColor"].removeprefix("#")
        assert background == "rgb({}, {}, {})".format(*bytes.fromhex(colour))


def test_the_style_sheet_and_the_page_ask_for_nothing_from_outside() -> None:
    for file in (ROOT / "assets/style.css", ROOT / ".streamlit/config.toml"):
        assert "http" not in file.read_text()
        assert "@import" not in file.read_text()
