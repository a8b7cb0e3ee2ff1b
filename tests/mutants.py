"""See whether the quick tests notice small changes to the code: `make mutants`.

Each change is made in a copy of the project, alone. What survives is either missed by the tests, or
makes no difference.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.conftest import ROOT

FILES = ("flow.py", "nodes.py", "utils/review", "utils/jobs", "utils/images")
LEAVE = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "test-results")
# Servers in processes of their own take their time, and tell about the whole.
QUICK = (
    "-x",
    "-q",
    "-m",
    "not browser",
    "-p",
    "no:cacheprovider",
    "--ignore=tests/test_sessions.py",
)
OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Lt: ast.GtE, ast.GtE: ast.Lt},
    **{ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
}

# In seconds: what takes longer hangs.
PATIENCE = 600
# A file, a node of it, and what shall stand in its place.
Change = tuple[Path, Any, str]


def changes_of(file: Path) -> Iterator[Change]:
    """Every change that can be made in a file."""
    # What only type checkers read, and what has no place of its own before Python 3.12.
    left: set[ast.AST] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        parts = [getattr(node, name, None) for name in ("annotation", "returns")]
        parts += [node] if isinstance(node, ast.JoinedStr) else []
        left.update(*(ast.walk(part) for part in parts if part))
        if node not in left and (new := changed(node)):
            yield file, node, new


def changed(node: ast.AST) -> str:
    """Return the changed source of a node, '' for a node that stays."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return ""
        case ast.Expr() | ast.Return() | ast.Assign() | ast.AugAssign() | ast.Raise():
            return "pass"
        case ast.Compare(ops=[operator]):
            node.ops = [OPPOSITES[type(operator)]()]  # type: ignore[list-item]
        case ast.BoolOp(op=operator) | ast.BinOp(op=operator) if type(operator) in OPPOSITES:
            node.op = OPPOSITES[type(operator)]()  # type: ignore[assignment]
        case ast.UnaryOp(op=ast.Not()):
            return ast.unparse(node.operand)
        case ast.Constant(value=bool(value)):
            return str(not value)
        case ast.Constant(value=int(value) | float(value)):
            return str(value + 1)
        case _:
            return ""
    return f"({ast.unparse(node)})"


def apply(change: Change, file: Path) -> str:
    """Write the changed source to `file`; return its lines before and after."""
    _, node, new = change
    lines = file.read_bytes().splitlines(keepends=True)
    before = b"".join(lines[node.lineno - 1 : node.end_lineno])
    rest = lines[node.end_lineno - 1][node.end_col_offset :]
    after = lines[node.lineno - 1][: node.col_offset] + new.encode() + rest
    file.write_bytes(b"".join([*lines[: node.lineno - 1], after, *lines[node.end_lineno :]]))
    return f"- {before.decode().strip()}\n+ {after.decode().strip()}"


def survives(change: Change | None) -> bool:
    """Return whether the quick tests pass on a copy with the change; what hangs does not."""
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(ROOT, Path(folder) / "copy", ignore=LEAVE))
        place = change[0].relative_to(ROOT) if change else Path()
        lines = apply(change, copy / place) if change else ""
        command = [sys.executable, "-B", "-m", "pytest", *QUICK]
        passed = False
        with suppress(subprocess.TimeoutExpired):
            ran = subprocess.run(command, cwd=copy, capture_output=True, timeout=PATIENCE)
            passed = ran.returncode == 0
    verdict = "SURVIVED" if passed else "caught"
    print(f"{verdict} {place}:{change[1].lineno}\n{lines}" if change else "", flush=True)
    return passed


def main() -> None:
    """Make the changes one by one, and say which of them the tests let through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", default=FILES, help="files or folders to change")
    for name, default in (("--count", 20), ("--seed", 18)):
        parser.add_argument(name, type=int, default=default)
    given = parser.parse_args()
    paths = [ROOT / name for name in given.files]
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) or [path])]
    changes = [change for file in files for change in changes_of(file)]
    chosen = random.Random(given.seed).sample(changes, min(given.count, len(changes)))
    if not survives(None):
        sys.exit("The quick tests fail before anything is changed.")
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        survivors = sum(workers.map(survives, chosen))
    print(f"{len(chosen) - survivors} of {len(chosen)} changes were caught.")


if __name__ == "__main__":
    main()
