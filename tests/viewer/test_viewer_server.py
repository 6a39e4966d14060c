"""The server of a viewer answers what belongs to it, to those who know its address, and nothing else."""

import http.client
import json
import threading
import urllib.parse
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from viewer_set import Shown, viewed, with_stills

from puredials.model import Detector, Experiments
from puredials.spots.explain import MODES, ThresholdStages
from puredials.spots.params import Dispersion, Threshold
from puredials.viewer import STATIC, ImageView, ViewerServer, json_reply
from puredials.viewer.image_set import Choice
from puredials.viewer.pixels import stacked_panels


@pytest.fixture(scope="module")
def running():
    view, images = viewed("<script>alert(1)</script>_####.cbf")
    with ViewerServer(view.routes, STATIC) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server, images
        server.shutdown()
        thread.join()


def ask(server, path, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply, zlib.decompress(body) if reply.getheader("Content-Encoding") == "deflate" else body


def unpacked(body) -> dict[str, Any]:
    length = int.from_bytes(body[:4], "little")
    heads = json.loads(body[4 : 4 + length])["arrays"]
    return {
        h["name"]: np.frombuffer(body, h["type"], int(np.prod(h["shape"])), 4 + length + h["start"]).reshape(h["shape"])
        for h in heads
    }


def test_it_listens_on_the_loopback_interface_only(running):
    assert running[0].server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("name", ["", *STATIC])
def test_static_files_come_with_a_policy_that_forbids_other_sites(running, name):
    reply, body = ask(running[0], f"/{running[0].token}/{name}")
    assert reply.status == 200
    assert body
    assert (reply.getheader("Content-Security-Policy") or "").startswith("default-src 'self'")


@pytest.mark.parametrize(
    "path", ["/", "/wrong/", "/wrong/image.bin?image=0", "/..", "//", "/%00/", "http://[x/", "/?", "/#", "/wrong\\"]
)
def test_without_the_token_nothing_is_served(running, path):
    assert ask(running[0], path)[0].status == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1",
        "127.0.0.1.evil.example",
        "localhost:80@evil.example",
        "localhost:x",
        "localhost:",
        ":80",
    ],
)
def test_other_host_names_are_refused(running, host):
    assert ask(running[0], f"/{running[0].token}/", host)[0].status == 403


@pytest.mark.parametrize(
    "name", ["../server.py", "..%2fserver.py", "%2e%2e/image.py", "/etc/passwd", "static/image.js", "image.py"]
)
def test_no_file_outside_of_the_page_is_served(running, name):
    assert ask(running[0], f"/{running[0].token}/{name}")[0].status == 404


@pytest.mark.parametrize(
    "query",
    [
        "image=99",
        "image=-1",
        "image=x",
        "set=7",
        "stack=0",
        "stack=1000",
        "stack=2&how=no",
        "mode=no",
        "reduce=3",
        "parts=1:0:0:5:5",
        "parts=0:0:0:91:70",
        "parts=0:0:0",
        "parts=0:0:0:90:70,0:0:0:90:1",
        "parts=a",
        "parts=0:0:0:0:5",
    ],
)
def test_bad_queries_are_refused_in_a_sentence(running, query):
    reply, body = ask(running[0], f"/{running[0].token}/image.bin?{query}")
    assert reply.status == 400
    assert body


def seen(server, query):
    """The values of an image as the page decodes them; NaN where they may not be used."""
    status, body = ask(server, f"/{server.token}/image.bin?{query}")
    assert status.status == 200, body
    found = unpacked(body)
    if "values" in found:
        return found["values"]
    codes = found["codes"].astype(float)
    values = np.where(codes > 255, codes - 2, codes)
    values[found["codes"] == 255] = np.nan
    values[found["at"]] = found["large"]
    return values


class Counted:
    """A source that tells how often it is read."""

    def __init__(self, source):
        self.source, self.reads = source, 0

    def __len__(self):
        return len(self.source)

    def read(self, index):
        self.reads += 1
        return self.source.read(index)

    def static_mask(self):
        return self.source.static_mask()


def test_pictures_are_kept_for_all_sets_together():
    """The memory of a view does not grow with its sets."""
    view = with_stills(viewed()[0])
    sources = [Counted(chosen.source) for chosen in view.sets]
    sets = ImageView(Experiments(tuple(chosen.first for chosen in view.sets)), sources).sets
    first = sets[0].picture(Choice(range(1)))
    assert sets[0].picture(Choice(range(1))) is first
    for n in range(3):
        sets[1].picture(Choice(range(n, n + 1)))
    assert sets[0].picture(Choice(range(1))) is not first
    assert [source.reads for source in sources] == [2, 3]


def test_of_many_sets_one_image_each_is_read_and_that_of_the_first_is_kept():
    view = with_stills(viewed()[0])
    sources = [Counted(chosen.source) for chosen in view.sets]
    left = iter(sources)
    opened = ImageView.opened(Experiments(tuple(chosen.first for chosen in view.sets)), lambda _: next(left))
    assert [source.reads for source in sources] == [1, 1]
    for chosen in opened.sets:
        chosen.picture(Choice(range(1)))
    assert [source.reads for source in sources] == [1, 2]


def test_limits_of_photons_are_numbers_that_the_page_can_have():
    view = viewed()[0]
    (panel,) = view.sets[0].panels
    experiment = replace(
        view.sets[0].first, detector=Detector((replace(panel, gain=0.5, trusted_range=(-1.0, np.inf)),))
    )
    shown = ImageView(Experiments((experiment,)), [view.sets[0].source]).sets[0]
    for corrected in (False, True):
        ((low, high),) = shown.picture(Choice(range(1), corrected=corrected)).limits
        assert -3e38 <= low < high <= 3e38


@pytest.mark.parametrize("compress", [0, 1])
def test_pixels_are_those_of_the_source(running, compress):
    server, images = running
    for n, image in enumerate(images):
        values = seen(server, f"image={n}&compress={compress}").reshape(image.shape)
        np.testing.assert_array_equal(values[:, 1:], image[:, 1:])
        assert np.isnan(values[:, 0]).all()


def test_parts_of_an_image_come_one_after_the_other(running):
    server, images = running
    values = seen(server, "image=3&parts=0:10:20:13:22,0:88:0:90:1")
    np.testing.assert_array_equal(values, [*images[3][20:22, 10:13].ravel(), *images[3][0, 88:90]])


def test_smaller_images_hold_the_largest_pixels(running):
    server, images = running
    values = seen(server, "image=2&reduce=2").reshape(35, 45)
    blocks = images[2].reshape(35, 2, 45, 2).max(axis=(1, 3))
    np.testing.assert_array_equal(values[:, 1:], blocks[:, 1:])
    np.testing.assert_array_equal(values[:, 0], images[2][:, 1].reshape(35, 2).max(axis=1))


def test_a_picture_is_made_once_for_all_its_parts():
    view, images = viewed()
    asked = []

    class Counted(Shown):
        def read(self, index):
            asked.append(index)
            return (images[index],)

    view = ImageView(Experiments((view.sets[0].first,)), [Counted(images)])
    for query in ({}, {"reduce": "2"}, {"image": "1"}, {"parts": "0:0:0:5:5"}, {"how": "max"}, {"image": "1"}):
        view.routes["image.bin"](query)
    assert asked == [0, 1]


@pytest.mark.parametrize("how", ["sum", "mean", "max"])
def test_stacks_are_sums_means_and_maxima(running, how):
    server, images = running
    values = seen(server, f"image=1&stack=3&how={how}").reshape(images[0].shape)
    expected = getattr(np, how)(images[1:4].astype(float), axis=0)
    np.testing.assert_allclose(values[:, 1:], expected[:, 1:], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_stages_of_the_threshold_are_those_of_spot_finding(running, mode):
    server, images = running
    threshold = Threshold(dispersion=Dispersion(kernel_size=(2, 3), sigma_strong=2.5))
    usable = np.ones(images[0].shape, bool)
    usable[:, 0] = False
    panel = viewed()[0].sets[0].panels[0]
    (expected,) = ThresholdStages([panel], [usable]).picture([images[2]], mode, threshold)
    query = urllib.parse.urlencode({"image": 2, "mode": mode, "threshold": threshold.model_dump_json()})
    np.testing.assert_array_equal(seen(server, query).reshape(usable.shape)[usable], expected[usable])


@pytest.mark.parametrize("how", ["sum", "max"])
def test_stages_of_a_stack_are_those_of_the_combined_image(running, how):
    server, images = running
    usable = np.ones(images[0].shape, bool)
    usable[:, 0] = False
    panel = viewed()[0].sets[0].panels[0]
    combined = getattr(np, how)(images[1:4], axis=0)
    assert combined.max() >= 500
    panels = stacked_panels([panel], 3, how)
    (expected,) = ThresholdStages(panels, [usable]).picture([combined], "threshold", Threshold())
    assert expected[usable].any()
    found = seen(server, f"image=1&stack=3&how={how}&mode=threshold").reshape(usable.shape)
    np.testing.assert_array_equal(found[usable], expected[usable])
    marked = unpacked(ask(server, f"/{server.token}/overlay.bin?image=1&stack=3&how={how}&threshold=%7B%7D")[1])
    assert len(marked["threshold"]) == expected[usable].sum()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"algorithm": "no"}',
        '{"dispersion": {"kernel_size": [3, 900]}}',
        '{"dispersion": {"gain": -1}}',
        "7",
        '{"radial_profile": {"n_bins": 999999999}}',
    ],
)
def test_bad_thresholds_are_refused_in_a_sentence(running, text):
    query = urllib.parse.urlencode({"mode": "threshold", "threshold": text})
    reply, body = ask(running[0], f"/{running[0].token}/image.bin?{query}")
    assert reply.status == 400
    assert body.endswith(b".")
    assert b"\n" not in body


@pytest.mark.parametrize("kind", ["resolution", "ice", "powder"])
def test_rings_have_their_resolution(running, kind):
    server, _ = running
    query = f"kind={kind}&cell=5.4+5.4+5.4+90+90+90&space_group=F+d+-3+m"
    _, body = ask(server, f"/{server.token}/rings.bin?{query}")
    (expt,) = json.loads(ask(server, f"/{server.token}/sets.json")[1])
    panel, found = expt["panels"][0], unpacked(body)
    about = json.loads(body[4 : 4 + int.from_bytes(body[:4], "little")])["about"]
    points = 0
    for d, panels, at in zip(about["d"], found["panel"], found["at"], strict=True):
        for x, y in at[panels == 0]:
            lab = np.array(panel["origin"]) + x * panel["pixel"][0] * np.array(panel["fast"])
            lab += y * panel["pixel"][1] * np.array(panel["slow"])
            q = lab / np.linalg.norm(lab) / expt["wavelength"] - expt["s0"]
            assert 1 / np.linalg.norm(q) == pytest.approx(d, rel=1e-3)
            points += 1
    assert points > 100


@pytest.mark.parametrize("query", ["kind=no", "kind=powder&cell=1+2", "kind=powder&cell=a", "kind=powder"])
def test_rings_of_nothing_are_refused(running, query):
    assert ask(running[0], f"/{running[0].token}/rings.bin?{query}")[0].status == 400


def test_reflections_come_with_the_images_they_touch(running):
    server, _ = running
    seen = [unpacked(ask(server, f"/{server.token}/overlay.bin?image={n}")[1]) for n in range(5)]
    assert [len(r["boxes"]) for r in seen] == [0, 1, 1, 1, 0]
    assert [r["observed"].tolist() for r in seen] == [[], [], [[0, 20.5, 30.5]], [], []]
    assert [0, 20, 30] in seen[2]["strong"].tolist()
    assert [r["peak"].tolist() for r in seen] == [[], [], [[0, 20, 30]], [], []]
    stack = unpacked(ask(server, f"/{server.token}/overlay.bin?image=0&stack=3")[1])
    assert stack["observed"].tolist() == [[0, 20.5, 30.5]]
    assert len(stack["strong"]) == len(seen[1]["strong"]) + len(seen[2]["strong"])


@pytest.mark.parametrize("only", ["indexed", "integrated"])
def test_reflections_are_chosen_by_status(running, only):
    found = unpacked(ask(running[0], f"/{running[0].token}/overlay.bin?image=2&{only}=true")[1])
    assert all(len(rows) == 0 for rows in found.values())


def test_the_radial_average_is_the_mean_of_the_usable_pixels(running):
    server, images = running
    found = unpacked(ask(server, f"/{server.token}/radial.bin?image=0")[1])
    assert found["pixels"].sum() == images[0][:, 1:].size
    assert (found["mean"] * found["pixels"]).sum() == pytest.approx(images[0][:, 1:].sum())
    assert (np.diff(found["q"]) > 0).all()


def post(server, name, text, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("POST", f"/{server.token}/{name}", text, {"Content-Type": "application/json", **headers})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body


@pytest.fixture(scope="module")
def acting():
    done = []
    with ViewerServer({}, STATIC, actions={"keep": lambda value: done.append(value) or json_reply("kept")}) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server, done
        server.shutdown()
        thread.join()


def test_actions_get_what_the_page_sends(acting):
    server, done = acting
    origin = f"http://127.0.0.1:{server.server_port}"
    assert post(server, "keep", '{"a": 1}', Origin=origin)[0] == 200
    assert done.pop() == {"a": 1}


@pytest.mark.parametrize(
    ("name", "text", "headers", "status"),
    [
        ("keep", "1", {"Origin": "http://evil.example"}, 403),
        ("keep", "1", {"Origin": "null"}, 403),
        ("keep", "1", {"Content-Type": "text/plain"}, 403),
        ("keep", "{", {}, 400),
        ("keep", "", {"Content-Length": str(1 << 21)}, 413),
        ("keep", "[" * 100_000, {}, 400),
        ("../keep", "1", {}, 404),
        ("", "1", {}, 404),
    ],
)
def test_nothing_else_acts(acting, name, text, headers, status):
    server, done = acting
    assert post(server, name, text, **headers)[0] == status
    assert done == []


@pytest.mark.parametrize("error", [OverflowError("too large"), ZeroDivisionError("by zero"), IndexError("no such")])
def test_what_a_question_without_sense_leads_to_is_told(error, capfd):
    def fail(_):
        raise error

    with ViewerServer({"ask": fail}, STATIC, actions={"act": fail}) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            told = [ask(server, f"/{server.token}/ask"), post(server, "act", "1")]
        finally:
            server.shutdown()
            thread.join()
    assert [told[0][0].status, told[1][0]] == [400, 400]
    assert str(error).encode() == told[0][1] == told[1][1]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods_are_refused(acting, method):
    connection = http.client.HTTPConnection("127.0.0.1", acting[0].server_port, timeout=10)
    connection.request(method, f"/{acting[0].token}/")
    assert connection.getresponse().status == 501
    connection.close()
