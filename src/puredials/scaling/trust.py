"""How far observations can be trusted: their variances by the error model, and who is an outlier."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.kernels.group_outliers import mark_outliers
from puredials.scaling.error_model import ErrorModel, fit_error_model, group_means
from puredials.scaling.params import ScaleParams
from puredials.scaling.state import Groups, State

__all__ = ["Deviations", "Trust"]

Values = Float64[np.ndarray, " n"]
_TURNS = 3
_TOLERANCE = 3e-4  # of the error model, each of whose fits starts where the last one ended
_ROBUST_CYCLES = 5


@dataclass(frozen=True, eq=False)
class Deviations:
    """How observations deviate from their equivalents, in units of their own sigma: ideally normal deviates.

    Attributes:
        rows: rows of the table; expected: mean intensity of the group.
        stated, corrected: deviation over sigma of integration, and over sigma by the error model.
    """

    rows: Int64[np.ndarray, " k"]
    expected: Float64[np.ndarray, " k"]
    stated: Float64[np.ndarray, " k"]
    corrected: Float64[np.ndarray, " k"]


@dataclass(frozen=True, eq=False)
class Trust:
    """What follows from a state about the errors of the observations."""

    groups: Groups
    params: ScaleParams

    def variances(self, state: State) -> Values:
        """Variances sigma'^2 of the unscaled intensities by the error model."""
        variance = state.variance
        # The expected intensity and the weights it is a mean with depend on each other; twice is enough.
        for _ in range(2):
            variance = self._modelled(state, self._expected(state, variance))
        return variance

    def robust_variances(self, state: State) -> Values:
        """Variances by which the intensities are to be weighted: larger where an observation deviates from the others.

        See `error_model` for what each counts. Deviations are from equivalents that no anomalous difference parts; an
        observation without any counts as it is.
        """
        if self.params.weighting.error_model.error_model is None:
            return state.variance
        nu = self._degrees_of_freedom(state)
        g, good = state.g, ~state.outlier
        value, variance = state.value / g, self.variances(state) / g**2
        group = self._error_groups(good)
        m = int(group.max()) + 1
        others = np.bincount(group[good], minlength=m)[group] - good > 0
        count = np.ones(len(g))
        for _ in range(_ROBUST_CYCLES):
            mean, total = group_means(value, np.where(good, count / variance, 0), group, m)
            # Of the deviation from a mean in which the own share is `own`, or none.
            own = np.where(good, count, 1.0) / (variance * np.where(total > 0, total, np.inf)[group])
            share = np.where(good, 1 - own, 1 + own)
            z2 = (value - mean[group]) ** 2 / (np.maximum(share, 1e-9) * variance)
            count = np.where(others, (nu + 1) / (nu + z2), 1.0)
        return variance * g**2 * (nu + 3) / (nu + 1) / count

    def _degrees_of_freedom(self, state: State) -> Values:
        return np.array([errors.nu for errors in state.errors])[self.groups.sweep]

    def _expected(self, state: State, variance: Values) -> Values:
        """Unscaled intensities expected from the mean of the equivalents and from that of their resolution.

        The mean of few weak observations is mostly their own noise: by it the low ones among them would count for more.
        Intensities of mean L at their resolution have the variance L^2 (Wilson 1949), and what is expected of one that
        was found to be I +- sigma, of all that is linear in I, is L + (I - L) L^2 / (L^2 + sigma^2).
        """
        g, group, shell = state.g, self.groups.group, self.groups.thin_shell
        weight = np.where(state.outlier, 0, g**2 / variance)
        mean, total = group_means(state.value / g, weight, group, self.groups.m)
        level, _ = group_means(state.value / g, (~state.outlier).astype(float), shell, int(shell.max()) + 1)
        level = np.maximum(level, 0)[shell]
        known = level**2 * total[group]
        return np.where(total[group] > 0, (level + known * mean[group]) / (1 + known) * g, state.value)

    def _stated(self, state: State, expected: Values) -> Values:
        """Variances of integration, with the photons expected of each reflection in place of those counted.

        Counting statistics give a weak reflection that came out too low too small a variance, and so too much weight:
        means would be too low. Photons enter the variance as they are counted, one for one.
        """
        change = self.groups.unit * (np.maximum(expected, 0) - np.maximum(state.value, 0))
        return np.maximum(state.variance + change, 0.25 * state.variance)

    def _modelled(self, state: State, expected: Values) -> Values:
        """Variances where these unscaled intensities are expected."""
        if self.params.weighting.error_model.error_model is None:
            return state.variance
        errors, variance = state.errors, self._stated(state, expected)
        if len(set(errors)) == 1:
            return errors[0].variance(variance, self.groups.unit, expected)
        out = np.empty_like(variance)
        for number, model in enumerate(errors):
            here = self.groups.sweep == number
            out[here] = model.variance(variance[here], self.groups.unit[here], expected[here])
        return out

    def deviations(self, state: State) -> Deviations:
        """Of all observations in use that are repeated."""
        g, variance = state.g, self.variances(state)
        use = np.flatnonzero(~state.outlier)
        group = self._error_groups(~state.outlier)[use]
        m = int(group.max(initial=-1)) + 1
        value, own = (state.value / g)[use], (g**2 / variance)[use]
        mean, total = group_means(value, own, group, m)
        share = 1 - own / total[group]
        several = (np.bincount(group, minlength=m)[group] > 1) & (share > 1e-6)
        use, mean, share = use[several], mean[group][several], share[several]
        off = (value[several] - mean) * g[use] / np.sqrt(share)
        nu = self._degrees_of_freedom(state)
        typical = variance * (nu + 3) / (nu + 1)
        stated, corrected = (off / np.sqrt(v[use]) for v in (state.variance, typical))
        return Deviations(self.groups.rows[use], mean, stated, corrected)

    def judge(self, state: State) -> State:
        """Fit the error model and mark outliers by it, in turns, since each depends on the other."""
        for _ in range(_TURNS):
            before = state.outlier
            state = replace(state, errors=self._errors(state))
            state = replace(state, outlier=self._outliers(state))
            if (state.outlier == before).all():
                break
        return state

    def _errors(self, state: State) -> tuple[ErrorModel, ...]:
        error_params = self.params.weighting.error_model
        if error_params.error_model is None:
            return state.errors
        g = state.g
        chosen = self.groups.complete & ~state.outlier
        parts = [chosen]
        if error_params.grouping == "individual":
            parts = [chosen & (self.groups.sweep == number) for number in range(len(state.errors))]
        fitted, stated = [], self._stated(state, self._expected(state, self.variances(state)))
        for part, before in zip(parts, state.errors, strict=False):
            group = self._error_groups(part)
            fitted.append(
                fit_error_model(
                    (state.value / g)[part], (stated / g**2)[part], (self.groups.unit / g)[part], group[part],
                    int(group.max()) + 1, start=before, fixed=error_params.basic, tolerance=_TOLERANCE,
                )
            )  # fmt: skip
        return tuple(fitted) if len(fitted) > 1 else (fitted[0],) * len(state.errors)

    def _error_groups(self, part: Bool[np.ndarray, " n"]) -> np.ndarray:
        """Friedel mates apart, since anomalous differences are no errors, if that leaves most of the comparisons."""

        def freedom(group: np.ndarray) -> int:
            return int(np.maximum(np.bincount(group[part]) - 1, 0).sum())

        return (
            self.groups.sides if freedom(self.groups.sides) >= 0.5 * freedom(self.groups.group) else self.groups.group
        )

    def _outliers(self, state: State) -> Bool[np.ndarray, " n"]:
        options = self.params.scaling_options
        outlier = np.zeros(len(self.groups.rows), bool)
        g = state.g
        if options.outlier_rejection is not None:
            none = np.zeros(len(g))
            if self.params.weighting.error_model.error_model is None:
                constant, linear, quadratic = state.variance / g**2, none, none
            else:
                a2 = np.array([e.a**2 for e in state.errors])[self.groups.sweep]
                linear = a2 * np.array([e.c for e in state.errors])[self.groups.sweep] * self.groups.unit / g
                quadratic = a2 * np.array([e.b**2 for e in state.errors])[self.groups.sweep]
                constant = a2 * self._stated(state, self._expected(state, self.variances(state))) / g**2
            iterate = options.outlier_rejection == "standard"
            mark_outliers(
                self.groups.starts, state.value / g, constant, linear, quadratic, options.outlier_zmax, iterate, outlier
            )
        return outlier | self._impossible(state)

    def _impossible(self, state: State) -> Bool[np.ndarray, " n"]:
        """Intensities whose normalised E^2 is above emax^2, and not by an error: a Wilson (1949) distribution has none.

        Where hardly anything is diffracted, noise alone is any number of times the mean.
        """
        options, thin = self.params.scaling_options, self.groups.thin_shell
        value = state.value / state.g
        limit = options.emax**2 * np.maximum(np.bincount(thin, value) / np.bincount(thin), 0)[thin]
        # Errors of the largest intensity allowed: by its own, one without equivalents would excuse itself.
        variance = self._modelled(state, np.minimum(self._expected(state, state.variance), limit * state.g))
        return value > limit + options.outlier_zmax * np.sqrt(variance) / state.g
