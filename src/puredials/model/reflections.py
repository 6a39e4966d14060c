"""The reflection table: columns by name, and the schema that defines each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.errors import MissingColumnError
from puredials.model.flags import Flags
from puredials.model.shoebox import Shoeboxes

__all__ = ["SCHEMA", "Column", "ReflectionTable"]


@dataclass(frozen=True)
class Column:
    """What a column holds: its type in .refl files, unit and meaning."""

    type: str
    unit: str
    doc: str


_D, _I, _U, _B, _V3 = "double", "int", "std::size_t", "bool", "vec3<double>"

SCHEMA: Mapping[str, Column] = {
    "id": Column(_I, "", "number of the experiment, -1 if none"),
    "imageset_id": Column(_I, "", "number of the image set"),
    "panel": Column(_U, "", "number of the panel"),
    "flags": Column(_U, "", "status bits, see Flags"),
    "miller_index": Column("cctbx::miller::index<>", "", "h, k, l in the setting of the crystal"),
    "entering": Column(_B, "", "True if the reflection enters the Ewald sphere (s1.(s0 x axis) < 0)"),
    "d": Column(_D, "Angstrom", "resolution"),
    "bbox": Column("int6", "px, px, image", "x0, x1, y0, y1, z0, z1, half-open"),
    "shoebox": Column("Shoebox<>", "", "pixels, mask and background"),
    "n_signal": Column(_I, "", "number of strong pixels"),
    "rlp": Column(_V3, "1/Angstrom", "reciprocal lattice point at the goniometer's datum"),
    "s1": Column(_V3, "1/Angstrom", "diffracted wave vector, laboratory frame"),
    "s2": Column(_V3, "1/Angstrom", "diffracted wave vector of the model"),
    "xyzobs.px.value": Column(_V3, "px, px, image", "observed centroid"),
    "xyzobs.px.variance": Column(_V3, "px^2, px^2, image^2", "its variance"),
    "xyzobs.mm.value": Column(_V3, "mm, mm, rad", "observed centroid"),
    "xyzobs.mm.variance": Column(_V3, "mm^2, mm^2, rad^2", "its variance"),
    "xyzcal.px": Column(_V3, "px, px, image", "predicted centroid"),
    "xyzcal.mm": Column(_V3, "mm, mm, rad", "predicted centroid"),
    "delpsical.rad": Column(_D, "rad", "rotation that brings the point onto the Ewald sphere"),
    "intensity.sum.value": Column(_D, "counts", "background-subtracted sum"),
    "intensity.sum.variance": Column(_D, "counts^2", "its variance"),
    "intensity.prf.value": Column(_D, "counts", "profile-fitted intensity"),
    "intensity.prf.variance": Column(_D, "counts^2", "its variance"),
    "intensity.scale.value": Column(_D, "", "intensity before division by the inverse scale factor"),
    "intensity.scale.variance": Column(_D, "", "its variance, after the error model"),
    "inverse_scale_factor": Column(_D, "", "g: corrected intensity = value / g"),
    "inverse_scale_factor_variance": Column(_D, "", "its variance"),
    "background.mean": Column(_D, "counts", "mean background of a pixel"),
    "background.dispersion": Column(_D, "", "variance to mean of the background"),
    "background.mse": Column(_D, "counts^2", "mean square error of the background model"),
    "background.sum.value": Column(_D, "counts", "background under the foreground"),
    "background.sum.variance": Column(_D, "counts^2", "its variance"),
    "num_pixels.valid": Column(_I, "", "valid pixels in the box"),
    "num_pixels.background": Column(_I, "", "background pixels"),
    "num_pixels.background_used": Column(_I, "", "background pixels used"),
    "num_pixels.foreground": Column(_I, "", "foreground pixels"),
    "lp": Column(_D, "", "L / P: multiply an intensity by it"),
    "qe": Column(_D, "", "share of the photons that the sensor detects: divide an intensity by it"),
    "dqe": Column(_D, "", "older name of qe"),
    "zeta": Column(_D, "", "e1 . rotation axis"),
    "partiality": Column(_D, "", "recorded share of the rocking curve"),
    "partiality.inv.variance": Column(_D, "", "variance of its inverse"),
    "partial_id": Column(_U, "", "the same for all parts of one reflection"),
    "profile.correlation": Column(_D, "", "of the reference profile with the data"),
    "profile.rmsd": Column(_D, "", "of the reference profile from the data"),
    "original_index": Column(_U, "", "row before scaling"),
    "wavelength": Column(_D, "Angstrom", "of each reflection (polychromatic data)"),
    "s0": Column(_V3, "1/Angstrom", "incident wave vector of each reflection (polychromatic data)"),
    "tof": Column(_D, "s", "time of flight"),
    "L1": Column(_D, "mm", "flight path from the sample to the detector"),
}


@dataclass(frozen=True, eq=False)
class ReflectionTable(Mapping[str, Any]):
    """Columns of equal length by name. A column is an array whose first axis runs over reflections, or `Shoeboxes`.

    `identifiers` maps the values of the ``id`` column to identifiers of experiments. `types` names the .refl type of
    columns that are not in `SCHEMA`. Tables are not changed in place: methods return new ones that share columns.
    """

    columns: Mapping[str, Any]
    identifiers: Mapping[int, str] = field(default_factory=dict[int, str])
    types: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", dict(self.columns))
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length: {lengths}")

    def __getitem__(self, name: str) -> Any:
        if name not in self.columns:
            raise MissingColumnError(
                f"The reflections have no column {name}, so they are from an earlier step than this one needs: "
                "give it the reflections that the step before it wrote."
            )
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        """Number of COLUMNS (a table is a mapping); see `n_rows`."""
        return len(self.columns)

    @property
    def n_rows(self) -> int:
        """Number of reflections."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def has(self, flag: Flags) -> NDArray[np.bool_]:
        """(n,) True where ANY of the bits of `flag` is set."""
        return (self.columns["flags"] & np.uint64(flag)) != 0

    def select(self, which: NDArray[Any]) -> "ReflectionTable":
        """The reflections of a boolean mask or of indices, in that order."""
        columns = {
            name: values.select(which) if isinstance(values, Shoeboxes) else values[which]
            for name, values in self.columns.items()
        }
        return replace(self, columns=columns)

    def with_columns(self, columns: Mapping[str, Any]) -> "ReflectionTable":
        """The table with columns added or replaced."""
        return replace(self, columns={**self.columns, **columns})

    def without(self, names: Iterable[str]) -> "ReflectionTable":
        """The table without some columns (names that are absent are ignored)."""
        gone = set(names)
        return replace(self, columns={n: v for n, v in self.columns.items() if n not in gone})

    def with_identifiers(self, identifiers: Mapping[int, str]) -> "ReflectionTable":
        return replace(self, identifiers=dict(identifiers))

    @staticmethod
    def concatenate(tables: Sequence["ReflectionTable"]) -> "ReflectionTable":
        """All rows of several tables, in order; columns that not all of them have are dropped."""
        if len(tables) == 1:
            return tables[0]
        names = [n for n in tables[0] if all(n in t for t in tables)]
        columns: dict[str, Any] = {}
        for name in names:
            parts = [t[name] for t in tables]
            joined = Shoeboxes.concatenate(parts) if isinstance(parts[0], Shoeboxes) else np.concatenate(parts)
            columns[name] = joined
        identifiers: dict[int, str] = {}
        types: dict[str, str] = {}
        for table in tables:
            identifiers.update(table.identifiers)
            types.update(table.types)
        return ReflectionTable(columns, identifiers, types)
