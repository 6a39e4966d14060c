"""What holds for all modules."""

import ast
import importlib
import inspect
import pkgutil
import re
import resource
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import puredials
from parameter_flips import another_text
from puredials.cli.params import apply, listed_parameters, listing, match
from puredials.cli.phil import Assignment, parse

SOURCE = Path(puredials.__file__).parent
REPOSITORY = SOURCE.parents[1]
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(SOURCE)], "puredials."))
PROGRAMS = sorted(e.value.split(":")[0] for e in entry_points(group="console_scripts") if e.name.startswith("dials."))
PROGRAMS = [name for name in PROGRAMS if name.startswith("puredials.")]


def ispkg(name: str) -> bool:
    return SOURCE.joinpath(*name.split(".")[1:]).is_dir()


def tree(module: str) -> ast.Module:
    path = SOURCE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if ispkg(module) else path.with_suffix(".py")
    return ast.parse(path.read_text(), str(path))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for_and_what_it_offers(name):
    assert ast.get_docstring(tree(name)), "no docstring"
    module = importlib.import_module(name)
    missing = [public for public in module.__all__ if not hasattr(module, public)]
    assert not missing
    assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("name", [name for name in MODULES if ispkg(name)])
def test_no_function_of_a_package_is_hidden_by_a_module_of_the_same_name(name):
    package = importlib.import_module(name)
    for module in pkgutil.iter_modules(package.__path__, f"{name}."):
        importlib.import_module(module.name)
    hidden = [public for public in package.__all__ if inspect.ismodule(getattr(package, public))]
    assert not hidden


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_what_it_must_not(name):
    forbidden = {"dials", "dxtbx", "cctbx", "xia2", "scitbx", "libtbx", "iotbx", "pandas", "pickle"}
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec"), f"line {node.lineno}"
    assert not found & forbidden


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_are_short_and_finished(path):
    text = path.read_text()
    assert text.count("\n") <= 450
    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError\(\))\b", text)


def test_imports_go_down_only():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_entry_points_are_those_of_the_project_file():
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    assert {value.split(":")[0] for name, value in scripts.items() if name.startswith("dials.")} == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_is_named_after_its_command_and_logs_to_its_own_file(name):
    program = importlib.import_module(name).PROGRAM
    (command,) = (e.name for e in entry_points(group="console_scripts") if e.value == f"{name}:main")
    assert program.name == command
    logs = [p.default for p in listed_parameters(program) if p.path == "output.log"]
    assert logs in ([f"{command}.log"], [None])


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_parameter_is_explained_and_takes_another_value(name):
    program = importlib.import_module(name).PROGRAM
    parameters = listed_parameters(program)
    assert len({p.path for p in parameters}) == len(parameters)
    defaults = program.options()
    for parameter in parameters:
        assert parameter.help, parameter.path
        assert match(parameter.path, parameters) == (parameter, "")
        changed = apply(program.options, [(parameter, Assignment(parameter.path, another_text(parameter), ""))])
        assert changed != defaults, parameter.path


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_listing_of_a_program_is_a_parameter_file(name):
    program = importlib.import_module(name).PROGRAM
    parameters = listed_parameters(program)
    for attributes in (0, 2):
        text = listing(program.options(), 9, attributes)
        read = apply(program.options, [(match(a.path, parameters)[0], a) for a in parse(text)])
        assert read == program.options()


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_needs_nothing_heavy(name):
    heavy = "{'numpy', 'numba', 'scipy', 'h5py', 'gemmi', 'rich', 'plotly', 'jaxtyping'}"
    code = f"import sys, {name} as program; code = program.main(['--help']); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]"), done.stdout.splitlines()[-1]


def test_help_answers_at_once():
    """Processor time, which unlike wall time does not depend on what else the machine does."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [Path(sys.executable).with_name("dials.find_spots"), "--help"], stdout=subprocess.DEVNULL, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3


def _text(node: ast.expr) -> str:
    """What a string or f-string says, with {} for each value in it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return "{}"


def test_errors_for_the_user_are_sentences():
    errors = set(importlib.import_module("puredials.errors").__all__)
    unfinished = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in errors and node.args:
                text = _text(node.args[0])
                if not text.endswith((".", "?", "{}")):
                    unfinished.append(f"{path.name}:{node.lineno}: {text}")
    assert unfinished == []
