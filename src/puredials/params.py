"""The base of all parameter models.

A parameter is written once, as a field of a frozen pydantic model: name, type, default, range, help text and unit.
The Python API, the ``name=value`` words, ``.phil`` files and the listings of the command line all come from it.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Params", "param"]


class Params(BaseModel):
    """A frozen group of parameters; nested groups are fields whose type is another ``Params``."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


def param(default: Any, help: str, *, unit: str = "", expert: int = 0, **constraints: Any) -> Any:
    """A parameter: its default, one sentence of help, unit, expert level (``-e N`` shows levels up to N),
    and pydantic constraints such as ``ge=0``."""
    return Field(default, description=help, json_schema_extra={"unit": unit, "expert": expert}, **constraints)
