"""The programs: words on a command line -> a step -> files and a log."""

__all__: list[str] = []
