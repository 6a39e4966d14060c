"""Programs: switches, files in and out, logs, errors and interruptions."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from puredials.cli.job import Job
from puredials.cli.program import Program
from puredials.errors import NoSpotsError
from puredials.io.expt import write_experiments
from puredials.io.refl import read_reflections, write_reflections
from puredials.model import Beam, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, ReflectionTable, Scan
from puredials.params import Params, param


class Output(Params):
    reflections: str | None = param("out.refl", "Output file")
    log: str | None = param("dials.toy.log", "Log file")


class Options(Params):
    d_min: float | None = param(None, "Limit", ge=0)
    nproc: int | None = param(None, "Workers. Auto: all")
    output: Output = Output()


TOY = Program("dials.toy", Options, "A toy.", takes="models.expt spots.refl [name=value]")


def experiment(identifier: str, template: str = "image_####.cbf") -> Experiment:
    panel = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-5.0, 5, -100]), (100, 100), (0.1, 0.1))
    beam, gonio, scan = Beam(np.array([0, 0, 1.0]), 1.0), Goniometer(np.array([1.0, 0, 0])), Scan((1, 10), (0, 0.1))
    images = ImageSet(template=template)
    return Experiment(beam, Detector((panel,)), gonio, scan, imageset=images, identifier=identifier)


def table(ids: list[int], identifiers: dict[int, str], imagesets: list[int] | None = None) -> ReflectionTable:
    columns = {"id": np.array(ids, np.int32), "d": np.arange(len(ids), dtype=float)}
    if imagesets is not None:
        columns["imageset_id"] = np.array(imagesets, np.int32)
    return ReflectionTable(columns, identifiers)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test runs in a folder of its own, with one experiment and its reflections."""
    monkeypatch.chdir(tmp_path)
    write_experiments(Experiments((experiment("one"),)), "a.expt")
    write_reflections(table([0, -1, 0], {0: "one"}, [0, 0, 0]), "a.refl")
    return tmp_path


def copy(job: Job) -> None:
    job.write_reflections(job.reflections, job.params.output.reflections)


def files() -> set[str]:
    return set(os.listdir())


BEFORE = {"a.expt", "a.refl"}


def test_words_and_files_come_in_any_order(capsys):
    assert TOY.main(copy, ["d_min=2", "a.refl", "nproc=1", "a.expt"]) == 0
    assert files() == BEFORE | {"out.refl", "dials.toy.log"}
    assert read_reflections("out.refl")["id"].tolist() == [0, -1, 0]
    log = Path("dials.toy.log").read_text()
    assert log.startswith("puredials ")
    assert "(dials.toy)\nThe following parameters have been modified:\n\nd_min = 2.0\nnproc = 1\n" in log
    assert "experiments = a.expt" in log
    assert log.endswith("Saving reflections to out.refl\n")
    assert capsys.readouterr().out == log


def test_files_may_be_given_as_parameters():
    assert TOY.main(copy, ["input.experiments=a.expt", "input.reflections=a.refl"]) == 0
    assert "out.refl" in files()


def test_parameter_files_and_words_are_applied_in_order():
    Path("p.phil").write_text("d_min = 3\noutput { reflections = 'b.refl' }")
    seen = []
    for words in (["p.phil", "d_min=4"], ["d_min=4", "p.phil"]):
        assert TOY.main(lambda job: seen.append(job.params.d_min), words) == 0
    assert seen == [4, 3]


def test_switches_print_and_write_nothing(capsys):
    for words, text in [
        (["--help"], "usage: dials.toy models.expt"),
        (["-h"], "--expert-level"),
        (["--version"], "puredials "),
        (["-c"], "nproc = Auto"),
        (["-ca2", "-e", "1", "d_min=2"], "d_min = 2.0\n  .help"),
        (["--show-config", "--attributes-level=1"], '.help = "Limit"'),
    ]:
        assert TOY.main(copy, words) == 0
        assert text in capsys.readouterr().out
    assert files() == BEFORE


def test_a_command_without_words_shows_the_help_and_fails(capsys):
    assert TOY.main(copy, []) == 1
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a.expt", "dmin=2"], "dmin is not a parameter. The nearest is d_min."),
        (["a.expt", "d_min=x"], "d_min must be a number >= 0 or None; x was given."),
        (["a.expt", "-x"], "There is no switch -x"),
        (["a.expt", "--fast"], "There is no switch --fast"),
        (["a.expt", "-e"], "-e needs a level"),
        (["b.expt"], "There is no file b.expt."),
        (["b.phil"], "There is no file b.phil."),
        (["a.expt", "a.expt"], "a.expt was given twice."),
        (["a.expt", "b.txt"], "found no file and no parameter called b.txt"),
        (["folder.expt"], "folder.expt is a folder"),
    ],
)
def test_what_cannot_be_understood_is_one_sentence_and_exit_code_1(words, sentence, capsys):
    Path("folder.expt").mkdir()
    assert TOY.main(copy, words) == 1
    output = capsys.readouterr()
    assert output.err.startswith("Sorry: ")
    assert sentence in output.err
    assert output.err.count("\n") == 1
    assert files() == BEFORE | {"folder.expt"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.refl", b""),
        ("b.refl", b"\x93\xbd"),
        ("b.refl", b"\x80\x02cdials_array_family_flex_ext\nreflection_table\n"),
        ("b.refl", b"\x1f\x8b\x08"),
        ("b.refl", bytes(range(256))),
        ("b.expt", b""),
        ("b.expt", b'{"__id__": "ExperimentList", "experiment": ['),
        ("b.expt", b"{}"),
        ("b.expt", b"[1, 2]"),
        ("b.expt", bytes(range(256))),
    ],
)
def test_empty_truncated_and_foreign_files_are_refused_in_one_sentence(name, content, capsys):
    Path(name).write_bytes(content)
    others = ["a.expt"] if name == "b.refl" else ["a.refl"]
    assert TOY.main(copy, [name, *others]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Sorry: ")
    assert name in error
    assert error.count("\n") == 1
    assert files() == BEFORE | {name, "dials.toy.log"}
    assert Path("dials.toy.log").read_text().endswith(error)


@pytest.mark.parametrize("cut", [10, 100, -1])
def test_truncated_reflection_files_are_refused(cut, capsys):
    Path("b.refl").write_bytes(Path("a.refl").read_bytes()[:cut])
    assert TOY.main(copy, ["a.expt", "b.refl"]) == 1
    assert "Sorry: b.refl" in capsys.readouterr().err


def test_reflections_of_other_experiments_are_refused(capsys):
    write_reflections(table([0], {0: "other"}), "b.refl")
    assert TOY.main(copy, ["a.expt", "b.refl"]) == 1
    error = capsys.readouterr().err
    assert "b.refl has reflections of experiment other, which is not in a.expt" in error


def test_old_tables_without_identifiers_are_taken_if_their_ids_fit(capsys):
    write_reflections(table([0, 0], {}), "b.refl")
    write_reflections(table([0, 3], {}), "c.refl")
    assert TOY.main(copy, ["a.expt", "b.refl"]) == 0
    assert read_reflections("out.refl").identifiers == {0: "one"}
    assert TOY.main(copy, ["a.expt", "c.refl"]) == 1
    assert "experiment number 3, but a.expt has only 1" in capsys.readouterr().err


def test_several_files_are_joined_and_renumbered():
    write_experiments(Experiments((experiment("two", "b_####.cbf"), experiment("three", "c_####.cbf"))), "b.expt")
    write_reflections(table([1, 0, -1, -1], {0: "two", 1: "three"}, [1, 0, 0, 1]), "b.refl")
    assert TOY.main(copy, ["a.expt", "b.expt", "b.refl", "a.refl"]) == 0
    joined = read_reflections("out.refl")
    assert joined["id"].tolist() == [2, 1, -1, -1, 0, -1, 0]
    assert joined["imageset_id"].tolist() == [2, 1, 1, 2, 0, 0, 0]
    assert joined.identifiers == {0: "one", 1: "two", 2: "three"}


def test_tables_without_identifiers_are_joined_file_to_file():
    write_experiments(Experiments((experiment("two", "b_####.cbf"),)), "b.expt")
    write_reflections(table([0], {}), "c.refl")
    write_reflections(table([0, 0], {}), "d.refl")
    assert TOY.main(copy, ["a.expt", "c.refl", "b.expt", "d.refl"]) == 0
    assert read_reflections("out.refl")["id"].tolist() == [0, 1, 1]


def test_one_experiment_in_two_files_is_refused(capsys):
    write_experiments(Experiments((experiment("one"),)), "b.expt")
    assert TOY.main(copy, ["a.expt", "b.expt", "a.refl"]) == 1
    assert "a.expt and b.expt both hold the experiment one" in capsys.readouterr().err


def test_missing_kinds_of_files_are_asked_for(capsys):
    assert TOY.main(copy, ["a.expt"]) == 1
    assert "dials.toy needs a file of reflections (.refl)" in capsys.readouterr().err


def test_an_error_leaves_earlier_files_whole(capsys):
    Path("out.refl").write_bytes(b"earlier")

    def fail(job: Job) -> None:
        copy(job)
        raise NoSpotsError("There are no spots.")

    assert TOY.main(fail, ["a.expt", "a.refl"]) == 1
    assert Path("out.refl").read_bytes() == b"earlier"
    assert files() == BEFORE | {"out.refl", "dials.toy.log"}
    assert capsys.readouterr().err == "Sorry: There are no spots.\n"


def test_verbosity_shows_where_an_error_arose(capsys):
    assert TOY.main(copy, ["-vv", "a.expt"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_faults_of_the_program_are_not_hidden_and_go_to_the_log():
    with pytest.raises(ZeroDivisionError):
        TOY.main(lambda job: job.say(str(1 / 0)), ["a.expt"])
    assert "ZeroDivisionError" in Path("dials.toy.log").read_text()


@pytest.mark.parametrize(("name", "why"), [("nowhere/x.refl", "there is no folder nowhere"), ("sub", "it is a folder")])
def test_outputs_that_cannot_be_written_stop_the_run_before_it_starts(name, why, capsys):
    Path("sub").mkdir()
    started = []
    assert TOY.main(started.append, ["a.expt", f"output.reflections={name}"]) == 1
    assert why in capsys.readouterr().err
    assert not started


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_stops_the_run_before_it_starts(folder, capsys):
    folder.chmod(0o555)
    try:
        assert TOY.main(copy, ["a.expt", "a.refl"]) == 1
    finally:
        folder.chmod(0o755)
    assert "cannot be written to: Permission denied" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(capsys):
    def fill(job: Job) -> None:
        def write(path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        job.write("big.mtz", write)

    assert TOY.main(fill, ["a.expt"]) == 1
    assert "Sorry: big.mtz cannot be written: No space left on device." in capsys.readouterr().err
    assert files() == BEFORE | {"dials.toy.log"}


def test_outputs_named_none_are_not_written():
    assert TOY.main(copy, ["a.expt", "a.refl", "output.reflections=None", "output.log=None"]) == 0
    assert files() == BEFORE


def test_texts_for_the_verbose_are_left_out(capsys):
    def run(job: Job) -> None:
        job.say("detail", level=1)

    TOY.main(run, ["a.expt"])
    assert "detail" not in capsys.readouterr().out
    TOY.main(run, ["a.expt", "-v"])
    assert "detail" in capsys.readouterr().out


def test_no_progress_bars_outside_a_terminal(capsys):
    def run(job: Job) -> None:
        with job.progress("Working") as progress:
            progress(1, 2)

    assert TOY.main(run, ["a.expt"]) == 0
    assert "Working" not in capsys.readouterr().out + Path("dials.toy.log").read_text()


def test_interruption_leaves_earlier_files_whole(capsys):
    Path("out.refl").write_bytes(b"earlier")

    def interrupted(job: Job) -> None:
        copy(job)
        raise KeyboardInterrupt

    assert TOY.main(interrupted, ["a.expt", "a.refl"]) == 130
    assert files() == BEFORE | {"out.refl", "dials.toy.log"}
    assert Path("out.refl").read_bytes() == b"earlier"
    assert "Interrupted" in capsys.readouterr().err


SLEEPER = """
import sys, time
sys.path.insert(0, {tests!r})
from test_cli_program import TOY, copy

def block(_):
    print("working", flush=True)
    time.sleep(30)

def run(job):
    from puredials.execute import map_blocks
    copy(job)
    list(map_blocks(block, range(4), job.executor(2)))

if __name__ == "__main__":
    sys.argv[1:] = ["a.expt", "a.refl"]
    sys.exit(TOY.main(run))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_stop_a_run_at_once(number, code):
    Path("sleeper.py").write_text(SLEEPER.format(tests=str(Path(__file__).parent)))
    with subprocess.Popen([sys.executable, "sleeper.py"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "working" not in process.stdout.readline():
            pass
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=20) == code
    assert time.monotonic() - start < 10
    assert files() == BEFORE | {"sleeper.py", "dials.toy.log"}


def test_an_interrupt_while_modules_are_read_leaves_no_traceback(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'pydantic': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    program = Path(sys.executable).with_name("dials.find_spots")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([program, "--help"], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_leftovers_of_killed_runs_are_removed_but_not_those_of_others():
    host = socket.gethostname()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    gone, alive, elsewhere, other = (
        Path(f".tmp-{name}")
        for name in (
            f"{process.pid}@{host}-out.refl",
            f"{os.getpid()}@{host}-2.out.refl",
            f"{process.pid}@elsewhere-out.refl",
            f"{process.pid}@{host}-other.refl",
        )
    )
    for path in (gone, alive, elsewhere, other):
        path.touch()
    assert TOY.main(copy, ["a.expt", "a.refl"]) == 0
    assert [path.exists() for path in (gone, alive, elsewhere, other)] == [False, True, True, True]


def test_a_reader_that_goes_away_is_no_error():
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += "from test_cli_program import TOY; sys.argv[1:] = ['-c']; sys.exit(TOY.main(None))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
