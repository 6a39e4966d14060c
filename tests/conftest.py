"""Fixtures for all tests. Public functions are checked against their array annotations while tests run."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Kernels are left out: hooking them breaks numba's cache.
_CHECKED = (
    "geometry",
    "prediction",
    "leastsq",
    "statistics",
    "spots",
    "indexing",
    "refinement",
    "integration",
    "symmetry",
    "scaling",
    "merging",
    "simulate",
)
# Times belong to benchmarks: the first call of a kernel loads or compiles it.
settings.register_profile("any time", deadline=None)
settings.load_profile("any time")
install_import_hook([f"puredials.{name}" for name in _CHECKED], "beartype.beartype")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets beside the repository; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("PUREDIALS_SHARED", Path(__file__).parents[2] / "shared"))
    if not (path / "data").is_dir():
        pytest.skip("the shared folder with real data is not here (set PUREDIALS_SHARED)")
    return path


@pytest.fixture(scope="session")
def insulin_small(tmp_path_factory: pytest.TempPathFactory):
    """A simulated insulin sweep of 80 images (a `SimulatedSet`): NXmx files, truth.h5 and dataset.json."""
    from puredials.execute import Threads
    from puredials.simulate import read_config, simulate

    with Threads(2) as executor:
        return simulate(read_config("insulin_small"), tmp_path_factory.mktemp("insulin_small"), executor=executor)
