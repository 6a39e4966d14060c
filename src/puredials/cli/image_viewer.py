"""dials.image_viewer: images and reflections in the browser."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "main"]


class Options(Params):
    """Parameters of the image viewer."""

    port: int = param(0, "The port of the local server (0: any that is free).", ge=0, le=65535)
    browser: bool = param(True, "Open the page in a browser; otherwise only its address is printed.")


PROGRAM = Program(
    "dials.image_viewer",
    Options,
    "Look at images, and at reflections over them, in a browser. Ends with Ctrl-C.",
    takes="imported.expt [strong.refl] [name=value]",
    examples=("dials.image_viewer imported.expt strong.refl", "dials.image_viewer imported.expt browser=False"),
)


def run(job: Job) -> None:
    import contextlib
    import webbrowser

    from puredials.viewer import STATIC, ImageView, ViewerServer

    experiments = job.experiments
    firsts = {number: e for e, number in reversed([*zip(experiments, experiments.imageset_ids(), strict=True)])}
    sources = [job.images(firsts[number]) for number in sorted(firsts)]
    reflections = job.reflections if job.reflection_paths else None
    view = ImageView(experiments, sources, reflections)
    with ViewerServer(view.routes, STATIC, port=job.params.port) as server:
        port = server.server_port
        # The address opens the door to the data: it goes to the terminal, not to the log.
        print(f"The viewer is at {server.address}", flush=True)  # noqa: T201
        job.say(f"From another computer: ssh -L {port}:127.0.0.1:{port} HOST, then the same address. Ctrl-C ends it.")
        if job.params.browser:
            webbrowser.open(server.address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
