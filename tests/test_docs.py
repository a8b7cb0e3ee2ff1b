import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

from streamlit.config import get_config_options

import screens
from flow import create_flow
from screens import requests
from tests import diagram
from tests.states import BACKGROUNDS
from utils.images import (
    addresses,
    api,
    catalogue,
    clients,
    fetch,
    models,
    pictures,
    uploads,
    verify,
)
from utils.jobs import table as jobs
from utils.review import boxes, choosing, memory, moves, reviews
from utils.review.blobs import blobs
from utils.review.store import DEFAULTS, STAGES
from utils.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_design_lists_the_keys_of_the_shared_store() -> None:
    data = (ROOT / "docs/design.md").read_text().split("## Data")[1].split("## Nodes")[0]
    assert re.findall(r"^\| `(\w+)` \|", data, re.MULTILINE) == list(DEFAULTS)


def test_the_design_lists_the_modules() -> None:
    table = (ROOT / "docs/design.md").read_text().split("## Modules")[1].split("## Data")[0]
    modules = {str(path.relative_to(ROOT / "utils")) for path in ROOT.glob("utils/**/*.py")}
    listed = re.findall(r"^\| `([\w/]+\.py)` \|", table, re.MULTILINE)
    assert set(listed) == {name for name in modules if not name.endswith("__init__.py")}


def test_the_drawings_in_the_documents_are_the_flow_as_it_is_wired() -> None:
    for document in diagram.DOCUMENTS:
        assert diagram.drawing_in(document) == diagram.draw()


def test_every_stage_has_a_screen_of_its_name() -> None:
    assert {stage for stage in STAGES if hasattr(screens, stage)} == set(STAGES)


# Each room imports those before it alone; the pictures start the demo engine when it is asked.
ROOMS = (
    "settings",
    "signing",
    "scripts",
    "backends",
    "jobs",
    "review",
    "shared",
    "spending",
    "telemetry",
    "marks",
    "images",
    "demo",
)


def test_nothing_imports_upwards_and_the_pattern_knows_no_pictures() -> None:
    for place, room in enumerate(ROOMS):
        files = [*ROOT.glob(f"utils/{room}/*.py"), *ROOT.glob(f"utils/{room}.py")]
        text = "".join(file.read_text() for file in files)
        used = {name.split(".")[1] for file in files for name in imported_of_utils(file)}
        assert used <= {*ROOMS[: place + 1], *["demo"] * (room == "images")}, room
        assert not re.findall(r"^ *(?:from|import) (?:nodes|flow|screens|app)", text, re.MULTILINE)
        if room in ("jobs", "review"):
            assert "streamlit" not in re.sub(r'"""[\s\S]*?"""|#.*', "", text)


def test_the_pattern_enters_the_room_of_pictures_by_one_door() -> None:
    pattern = [ROOT / "app.py", ROOT / "flow.py", ROOT / "nodes.py", *ROOT.glob("screens/*.py")]
    used = {name for file in pattern for name in imported_of_utils(file)}
    doors = {"utils.images", "utils.images.page"}
    assert {name for name in used if name.startswith("utils.images")} <= doors
    assert not [name for name in used if re.match(r"utils\.(marks|demo)", name)]


def imported_of_utils(file: Path) -> set[str]:
    """Return the modules of utils that a file imports, by their whole names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if importable(name)}
            found |= modules or {str(node.module)}
    return {name for name in found if name.startswith("utils.")}


def importable(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def test_what_is_to_be_read_first_takes_half_an_hour() -> None:
    design = (ROOT / "docs/design.md").read_text()
    to_read = design.split("### What to read first")[1].split("\n\n")[2]
    files = re.findall(r"`([\w/]+\.py)`", to_read)
    assert len(files) == 9
    assert sum(len(lines_of_code(ROOT / name)) for name in files) < 1200


def lines_of_code(file: Path) -> set[int]:
    """Return the lines that are neither blank, nor a comment, nor of a docstring."""
    text = file.read_text()
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    said: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, described) and ast.get_docstring(node) is not None:
            said.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (*silent, tokenize.ENDMARKER):
            code.update(range(token.start[0], token.end[0] + 1))
    return code - said


def test_no_streamlit_in_nodes_flow_or_the_api() -> None:
    for name in ("nodes", "flow", "utils/images/api", "utils/images/events", "utils/settings"):
        text = (ROOT / f"{name}.py").read_text()
        assert not re.search(r"^(?:from|import) streamlit", text, re.MULTILINE), name
    # Nor by way of anything that they import.
    blocked = "import sys; sys.modules['streamlit'] = None; import flow, nodes"
    subprocess.run([sys.executable, "-c", blocked], cwd=ROOT, check=True)


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
    used = set(re.findall(r"\b((?:OPENAI|IMAGE|PICTURE|STREAMLIT)_[A-Z_]+)", README))
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
    required += (ROOT / "requirements-shared.txt").read_text()
    named = re.findall(r"^\| ([\w, \[\]-]+) \|", table, re.MULTILINE)
    listed = {one for row in named for one in row.split(", ")} - {"library", "---"}
    assert set(re.findall(r"^([a-z][\w\[\]-]+)(?=>=)", required, re.MULTILINE)) == listed


def test_compose_hands_on_every_setting() -> None:
    compose = (ROOT / "deploy/compose.yaml").read_text()
    handed_on = set(re.findall(r"^ {4}([A-Z_]+): ", compose, re.MULTILINE))
    left_out = {name for name in map(str.upper, Settings.model_fields) if name not in handed_on}
    assert left_out == {"SHOW_STATE"}


def test_the_example_names_what_may_not_stand_there() -> None:
    compose, example = (
        (ROOT / "deploy" / one).read_text() for one in ("compose.yaml", "example.env")
    )
    may = re.findall(r"^ {4}([A-Z_]+): \$\{\1:-", compose, re.MULTILINE)
    (told,) = re.findall(r"under its name([^.]*)\.", example)
    may_not = {*map(str.upper, Settings.model_fields)} - {*may}
    assert {*re.findall(r"[A-Z_]{2,}", told)} == may_not


def test_a_deployment_has_a_limit_for_all_until_another_is_chosen() -> None:
    compose, kubernetes, example = (
        (ROOT / "deploy" / name).read_text()
        for name in ("compose.yaml", "kubernetes.yaml", "example.env")
    )
    limits = re.findall(r"(LIMIT_ALL_\w+_DAY)=(\d+)", example)
    assert len(limits) == 2
    for name, limit in limits:
        assert f"{name}: ${{{name}:-{limit}}}" in compose
        assert f'name: {name}, value: "{limit}"' in kubernetes


def test_the_themes_are_those_that_are_tested() -> None:
    theme = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())["theme"]
    for scheme, background in BACKGROUNDS.items():
        colour = theme[scheme]["backgroundColor"].removeprefix("#")
        assert background == "rgb({}, {}, {})".format(*bytes.fromhex(colour))


def test_the_style_sheet_and_the_page_ask_for_nothing_from_outside() -> None:
    for file in (ROOT / "assets/style.css", ROOT / ".streamlit/config.toml"):
        assert "http" not in file.read_text()
        assert "@import" not in file.read_text()


def test_the_bounds_in_the_documents_are_those_of_the_code() -> None:
    table = (ROOT / "docs/security.md").read_text().split("## Bounds")[1].split("## ")[0]
    rows = dict(re.findall(r"^\| (.+?) \| (.*\d.*) \|$", table, re.MULTILINE))
    found = {what: re.findall(r"\d+", bound.replace(",", "")) for what, bound in rows.items()}
    of, mega, hour = Settings.model_construct(), 1024 * 1024, 3600
    picture = pictures.MAX_BYTES // mega
    expected = {
        "pictures in memory, for all": (of.picture_memory,),
        "the same, for each browser or person": (100 * blobs.share // blobs.bound,),
        "one picture, in bytes and pixels": (picture, pictures.MAX_PIXELS // 10**6),
        "pixels of a progressive JPEG, in all its scans": (pictures.MOST_SCANNED // 10**6,),
        "an upload, in bytes and pixels": (
            uploads.API_BYTES // mega,
            pictures.MAX_UPLOAD_PIXELS // 10**6,
        ),
        "an answer of a server": (
            fetch.MAX_ANSWER_BYTES // mega,
            clients.MAX_ERROR_BYTES // 1024,
            clients.CONNECT_SECONDS,
        ),
        "a picture that is fetched by its address": (fetch.FETCH_SECONDS, fetch.MAX_REDIRECTS),
        "a prompt, and any text that is remembered": (moves.MAX_PROMPT, boxes.LONGEST),
        "attempts under review, recent pictures": (choosing.MAX_ATTEMPTS,),
        "pictures of a click from each model, a person's own": (moves.MAX_COUNT, moves.MAX_SOURCES),
        "calls in flight": (of.image_concurrency,),
        "tries of a request": (create_flow("generate").start_node.max_retries,),
        "what a server says that a picture took, in tokens and dollars": (
            models.MOST_TOKENS,
            models.MOST_DOLLARS,
        ),
        "seconds without news": (of.image_timeout,),
        "browsers and people that are remembered": (
            memory.KEEP_BROWSERS,
            memory.KEEP_SECONDS // hour,
        ),
        "reviews that are remembered, and that wait": (
            reviews.KEEP_REVIEWS,
            reviews.KEEP_SECONDS // hour,
            reviews.WAIT.days * 24,
        ),
        "reviews that the first page offers": (requests.MOST_SHOWN,),
        "pictures that an agent asks for before a person has looked": (of.agent_pictures,),
        "jobs that are remembered": (
            jobs.KEEP_UNDELIVERED,
            jobs.KEEP_DELIVERED,
            jobs.KEEP_SECONDS // hour,
        ),
        "what is learnt of servers": (
            api._refused.maxsize,
            api.REMEMBERED_SECONDS // 60,
            catalogue._asked.maxsize,
            catalogue.KEEP_SECONDS // 60,
        ),
        "results whose archives can be asked for": (
            addresses.KEEP_OFFERS,
            addresses.KEEP_SECONDS // hour,
        ),
        "an archive, as the checker reads it": (verify.LONGEST_RECORD // mega, picture),
    }
    assert found == {what: [f"{one:.0f}" for one in bounds] for what, bounds in expected.items()}
