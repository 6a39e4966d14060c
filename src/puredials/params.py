"""The base of all parameter models.

A parameter is written once, as a field of a frozen pydantic model: name, type, default, range, help text and unit.
The Python API, the ``name=value`` words, ``.phil`` files and the listings of the command line all come from it.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Params", "param"]


class Params(BaseModel):
    """A frozen group of parameters; nested groups are fields whose type is another ``Params``."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)

    @model_validator(mode="after")
    def _resolution_limits_are_in_order(self) -> Self:
        d_min, d_max = getattr(self, "d_min", None), getattr(self, "d_max", None)
        if isinstance(d_min, float) and isinstance(d_max, float) and d_min >= d_max:
            raise ValueError(f"d_min={d_min:g} must be smaller than d_max={d_max:g}, the limit of low resolution.")
        return self


def param(default: Any, help: str, *, unit: str = "", expert: int = 0, **constraints: Any) -> Any:
    """A parameter: its default, one sentence of help, unit, expert level (``-e N`` shows levels up to N),
    and pydantic constraints such as ``ge=0``."""
    return Field(default, description=help, json_schema_extra={"unit": unit, "expert": expert}, **constraints)
