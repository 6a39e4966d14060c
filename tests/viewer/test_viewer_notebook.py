"""A viewer in a notebook."""

import re
import urllib.error
import urllib.request

import numpy as np
import pytest
from viewer_set import write_image

from puredials.model import Beam, Detector, Experiment, Experiments, ImageSet, Panel
from puredials.viewer import show_images


def test_a_page_is_shown_within_a_notebook_until_it_is_stopped(tmp_path):
    write_image(tmp_path / "a_001.img")
    panel = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-0.5, 0.6, -10]), (10, 12), (0.1, 0.1))
    experiment = Experiment(
        Beam(np.array([0, 0, 1.0]), 1.0), Detector((panel,)), imageset=ImageSet(images=("a_001.img",))
    )
    shown = show_images(Experiments((experiment,)), folder=tmp_path, height=300)
    (address,) = re.findall(r'<iframe src="(\S+)" width="100%" height="300">', shown._repr_html_())
    assert address == shown.address
    with urllib.request.urlopen(address, timeout=10) as reply:
        assert b"Image viewer" in reply.read()
        assert (
            "frame-ancestors 'self' http://127.0.0.1:* http://localhost:*" in reply.headers["Content-Security-Policy"]
        )
    shown.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=10)
