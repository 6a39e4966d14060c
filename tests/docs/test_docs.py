"""The documentation is run: its shell sessions and Python code, page by page, in a folder of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text())


def shape(line: str) -> str:
    """A line without what may change: numbers, and the widths of tables."""
    return re.sub(r"[-\s]+", " ", re.sub(r"[-+]?\d[\d.,()]*(e[-+]\d+)?", "#", line)).strip()


def run_session(session: str, folder: Path) -> None:
    """Run the commands ("$ ...") of a session; each line shown below one must be in its output, numbers aside."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for step in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, *shown = step.splitlines()
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        printed = {shape(line) for line in done.stdout.splitlines()}
        missing = [line for line in shown if shape(line) not in printed and line.strip() != "..."]
        assert not missing, f"{command} does not print\n" + "\n".join(missing)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_a_page_can_be_followed_from_top_to_bottom(page, tmp_path):
    for kind, text in blocks(page):
        if kind == "console":
            run_session(text, tmp_path)
        else:
            program = tmp_path / "block.py"
            program.write_text(text)
            done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{text}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
