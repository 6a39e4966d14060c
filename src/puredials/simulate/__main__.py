"""``python -m puredials.simulate CONFIG.json OUTDIR``, where CONFIG.json may be the name of a preset."""

import sys

from puredials.errors import PuredialsError
from puredials.execute import Threads, available_processors
from puredials.simulate.config import preset_names, read_config
from puredials.simulate.dataset import simulate

__all__ = ["main"]


def main(words: list[str]) -> int:
    if len(words) != 2:
        presets = ", ".join(preset_names())
        print(f"Usage: python -m puredials.simulate CONFIG.json OUTDIR\nPresets: {presets}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        with Threads(available_processors()) as executor:
            made = simulate(read_config(words[0]), words[1], executor=executor, progress=_progress)
    except PuredialsError as error:
        print(f"Sorry: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for sweep in made.sweeps:
        print(  # noqa: T201
            f"{sweep.path}: {sweep.n_images} images, {sweep.n_reflections} reflections, "
            f"mean count {sweep.mean_count:.3f}"
        )
    return 0


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rSimulating images: {done} of {total}", end="\n" if done == total else "", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
