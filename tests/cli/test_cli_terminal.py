"""Progress bars on terminals, the message about compilation, and where compiled kernels are kept."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import puredials
from puredials.cli import kernel_cache
from puredials.cli.kernel_cache import choose_kernel_cache
from puredials.cli.log import Log

PROGRESS = """
from puredials.cli.log import Log
log = Log("bar.log")
with log.progress("Finding strong spots") as progress:
    for n in range(3):
        log.say(f"image {n}")
        progress(n + 1, 3)
log.close()
"""


def test_progress_bars_are_shown_on_a_terminal_but_not_in_the_log(tmp_path):
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    subprocess.run([sys.executable, "-c", PROGRESS], stdout=child, cwd=tmp_path, env=environment, check=True)
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 4096)
        except OSError:  # the end of a pseudo-terminal
            break
    os.close(parent)
    assert b"Finding strong spots" in shown
    assert b"3/3" in shown
    assert b"image 2" in shown
    assert (tmp_path / "bar.log").read_text() == "image 0\nimage 1\nimage 2\n"


def test_compilation_is_announced_once(capsys):
    import numba

    log = Log(None)
    log.tell_of_compilation()
    for function in (lambda x: x + 1, lambda x: x + 2):
        assert numba.njit(function)(1) > 1
    log.close()
    numba.njit(lambda x: x + 3)(1)
    assert capsys.readouterr().out.count("Compiling numerical kernels") == 1


def test_lines_end_without_blanks(tmp_path, capsys):
    log = Log(str(tmp_path / "x.log"))
    log.say(" a  \n\n  b \n")
    log.close()
    assert capsys.readouterr().out == (tmp_path / "x.log").read_text() == " a\n\n  b\n\n"


def test_warnings_of_libraries_go_to_the_log(tmp_path, capsys):
    log = Log(str(tmp_path / "x.log"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with log.warnings_noted():
            warnings.warn("careful", RuntimeWarning, stacklevel=1)
    log.close()
    assert "RuntimeWarning: careful" in (tmp_path / "x.log").read_text()
    assert "careful" not in "".join(capsys.readouterr())


@pytest.fixture
def read_only_package(monkeypatch, tmp_path):
    """A package whose folder cannot be written to, and a home of its own."""
    access = os.access
    package = Path(puredials.__file__).parent
    monkeypatch.setattr(os, "access", lambda path, mode: package not in Path(path).parents and access(path, mode))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache.tempfile, "tempdir", None)
    yield tmp_path
    os.environ.pop("NUMBA_CACHE_DIR", None)


@pytest.mark.skipif(sys.platform != "linux", reason="the folder of the user's caches is another")
def test_kernels_of_a_read_only_package_are_kept_in_the_users_cache(read_only_package):
    choose_kernel_cache()
    folder = read_only_package / "cache" / "puredials" / puredials.__version__
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the folder of the user's caches is another")
def test_kernels_are_kept_in_a_private_temporary_folder_if_there_is_no_other(read_only_package):
    (read_only_package / "cache").write_text("not a folder")
    choose_kernel_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]).parent == read_only_package


def test_kernels_stay_beside_a_source_that_can_be_written_to(monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    if os.access(Path(puredials.__file__).parent / "kernels", os.W_OK):
        choose_kernel_cache()
        assert "NUMBA_CACHE_DIR" not in os.environ


def test_the_users_choice_of_a_cache_is_kept(read_only_package, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    choose_kernel_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == "/elsewhere"
