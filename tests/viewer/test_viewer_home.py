"""The home page of a processing folder tells what its logs, notes and files tell, and nothing of other folders."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib

import pytest
from viewer_set import viewed

from browser import chromium
from puredials.errors import FileError
from puredials.io.running import Running
from puredials.viewer import HOME_STATIC, STATIC, RunView, ViewerServer


@pytest.fixture
def folder(tmp_path):
    """A run whose third program failed; and files that are no business of the page."""
    run = tmp_path / "run"
    run.mkdir()
    logs = {
        "dials.import": "puredials\nSaving experiments to imported.expt\n",
        "dials.find_spots": "puredials\nSaving strong.refl\nSaving the page to a.html\n",
        "dials.index": "puredials\nSorry: No lattice <b>was</b> found.\n",
    }
    for k, (name, text) in enumerate(logs.items()):
        path = run / f"{name}.log"
        path.write_text(text)
        os.utime(path, (1000 + k, 1000 + k))
    (run / "imported.expt").write_text("{}")
    (run / "strong.refl").write_bytes(b"x" * 20)
    (run / "a.html").write_text("<p id=here>page</p><script>document.title = 'ran'</script>")
    (run / "image_0001.cbf").write_bytes(b"")
    (tmp_path / "secret.json").write_text("secret")
    (run / "link.json").symlink_to(tmp_path / "secret.json")
    (run / "<img src=x onerror=alert(1)>.json").write_text("{}")
    return run


def opener(experiments, reflections):
    assert experiments.is_file()
    assert reflections is None or reflections.is_file()
    return STATIC, viewed()[0]


@pytest.fixture
def served(folder):
    view = RunView(folder, {"image": opener, "reciprocal lattice": opener})
    with ViewerServer(view.routes, HOME_STATIC, actions=view.actions) as server:
        view.attach(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(address, value=None):
    data, headers = None, {}
    if value is not None:
        data, headers = json.dumps(value).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=20) as reply:
        body = reply.read()
        return reply.headers, zlib.decompress(body) if reply.headers["Content-Encoding"] == "deflate" else body


def refusal(address):
    """The status of an answer that is an error."""
    with pytest.raises(urllib.error.HTTPError) as error:
        get(address)
    error.value.close()
    return error.value.code


def test_steps_are_told_in_the_order_of_their_logs(folder):
    steps = RunView(folder, {}).state()["steps"]
    assert [(s["program"], s["state"]) for s in steps] == [
        ("dials.import", "done"),
        ("dials.find_spots", "done"),
        ("dials.index", "failed"),
    ]
    assert steps[0]["written"] == ["imported.expt"]
    assert steps[1]["written"] == ["strong.refl", "a.html"]
    assert steps[1]["pages"] == ["a.html"]
    assert steps[2]["sentence"] == "Sorry: No lattice <b>was</b> found."


def test_a_running_program_tells_of_its_progress_and_a_killed_one_of_its_end(folder):
    running = Running("dials.index", folder)
    running.tell("Indexing", 3, 7)
    step = RunView(folder, {}).state()["steps"][-1]
    assert (step["state"], step["sentence"], step["done"], step["total"]) == ("running", "Indexing", 3, 7)
    note = folder / ".dials.index.running"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    note.write_text(note.read_text().replace(str(os.getpid()), str(gone.pid)))
    assert RunView(folder, {}).state()["steps"][-1]["state"] == "killed"


@pytest.mark.parametrize(("end", "state"), [("Interrupted: nothing", "interrupted"), ("Terminated: no", "interrupted")])
def test_an_interrupted_program_is_said_to_be(folder, end, state):
    (folder / "dials.index.log").write_text(f"puredials\n\n{end}\n")
    assert RunView(folder, {}).state()["steps"][-1]["state"] == state


def test_only_files_of_known_kinds_within_the_folder_are_listed(folder):
    names = {file["name"] for file in RunView(folder, {}).state()["files"]}
    assert "imported.expt" in names
    assert not names & {"link.json", "image_0001.cbf", "secret.json"}


@pytest.mark.parametrize("name", ["../secret.json", "link.json", "/etc/passwd", "..%2fsecret.json", "image_0001.cbf"])
def test_other_files_are_not_sent(served, name):
    assert refusal(f"{served.address}file?name={name}") == 400


def test_pages_are_shown_within_a_policy_that_asks_nobody_for_anything(served):
    headers, body = get(f"{served.address}page?name=a.html")
    assert b"id=here" in body
    assert headers["Content-Security-Policy"].startswith("sandbox allow-scripts")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert refusal(f"{served.address}page?name=imported.expt") == 400


@pytest.mark.parametrize("viewer", ["image", "reciprocal lattice"])
def test_viewers_open_beneath_the_same_address_and_once_for_the_same_files(served, folder, viewer):
    wish = {"viewer": viewer, "experiments": "imported.expt", "reflections": "strong.refl"}
    paths = [json.loads(get(f"{served.address}open", wish)[1])["path"] for _ in range(2)]
    assert paths[0] == paths[1]
    (found,) = json.loads(get(f"{served.address}{paths[0]}sets.json")[1])
    assert found["images"] == 5
    assert b"Image viewer" in get(f"{served.address}{paths[0]}")[1]
    os.utime(folder / "strong.refl", (5, 5))
    assert json.loads(get(f"{served.address}open", wish)[1])["path"] != paths[0]


@pytest.mark.parametrize("name", ["../secret.expt", "absent.expt", "strong.refl"])
def test_viewers_open_files_of_the_folder_only(folder, name):
    with pytest.raises(FileError):
        RunView(folder, {"image": opener})._open({"viewer": "image", "experiments": name, "reflections": None})


def test_it_serves_a_folder_until_it_is_told_to_end(folder):
    code = "import sys; from puredials.cli.puredials import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "serve", str(folder), "browser=False"]
    program = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    address = next(found.group() for line in program.stdout if (found := re.search(r"http://\S+", line)))
    assert refusal(f"{address}nothing") == 404
    state = json.loads(get(f"{address}state.json")[1])
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=20)
    assert program.returncode == 0
    assert state["folder"] == str(folder)


def test_the_page_shows_steps_logs_and_reports_and_opens_viewers(served, folder):
    faults = []
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append("a name was run as code"))
        page.goto(served.address)
        page.wait_for_selector("nav button")
        assert page.locator("nav button").count() == 3
        assert "No lattice <b>was</b> found." in page.text_content("nav button.failed")
        assert "Sorry" in page.text_content("#log")
        page.click("nav button:has-text('dials.find_spots')")
        assert page.frame_locator("#page").locator("#here").text_content() == "page"
        page.click("#tabs button:has-text('dials.find_spots.log')")
        for _ in range(50):
            if "strong.refl" in page.text_content("#log"):
                break
            time.sleep(0.1)
        assert page.locator("#page").is_hidden()
        running = Running("dials.index", folder)
        running.tell("Indexing", 3, 7)
        page.wait_for_selector("nav button.running progress")
        assert "indexing 3 of 7" in page.text_content("#now")
        with context.expect_page() as opened:
            page.click("#pairs button")
        opened.value.wait_for_selector("#view")
        assert "image-1/" in opened.value.url
    assert not faults
