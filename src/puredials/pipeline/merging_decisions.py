"""The choices of an expert on the way from integrated intensities to merged ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scipy.special import bdtrc

from puredials.pipeline.decisions import Decision

__all__ = [
    "choose_anomalous",
    "choose_cells",
    "choose_cut",
    "choose_exclusions",
    "choose_merged_lattices",
    "choose_scaling",
    "choose_sets",
    "choose_symmetry",
    "explain_space_group",
    "judge_merged",
    "keep_cut",
    "keep_scaled",
    "keep_symmetrized",
    "with_names",
]

# Scale factors are determined by repeated observations: beyond the first of each reflection. A sweep needs some for its
# own scale, and a good many for one that varies along it.
_REPEATS_FOR_A_SCALE, _REPEATS_FOR_A_CURVE = 10, 100
# A Laue group that is less likely than this is to be confirmed with more data.
_LIKELY = 0.8
# Anomalous differences of half data sets correlate by chance with a standard deviation of 1 / sqrt(pairs).
_ANOMALOUS_SIGMAS, _ANOMALOUS_CC, _FEWEST_PAIRS = 4.0, 0.15, 20
# Lattices on the same images whose intensities correlate less are spoiled by each other's spots.
_LATTICES_AGREE = 0.9
# Sets or images are left out if CC½ gains: its arctanh this much, and the number that is told. All of them together may
# be no more than this share of the data.
_WORTH_LEAVING_OUT, _MOST_LEFT_OUT = 0.003, {"sets": 0.4, "images": 0.2}
# Or if this share of them is rejected as outliers, so many times the usual share, and in no group by such a chance.
_REJECTED, _TIMES_USUAL, _CHANCE = 0.1, 5.0, 0.01
_GROUPS_TOLD = 3
# Of the strongest shell: beyond these the observations are not of one quantity.
_POOR_R_MEAS, _POOR_CC_HALF = 0.3, 0.9
# A cut that moves the limit by less than this changes nothing that can be measured.
_CUT_MARGIN = 0.02
# Fewer reflections cannot be scaled, or be what was meant.
_FEWEST_LEFT = 50


def choose_cells(members: Sequence[int], others: Sequence[str] = ()) -> Decision:
    """Which crystals are of one kind, from the sizes of the clusters of their unit cells, the largest first; `others`:
    names of those that are not of the largest."""
    total = sum(members)
    if len(members) <= 1:
        return Decision("Unit cells", "all", f"The cells of all {total} crystals are alike.")
    sizes = ", ".join(str(n) for n in members)
    taken = "the largest" if members[0] > members[1] else "the first"
    left = f" Left out: {', '.join(others)}." if others else ""
    reason = f"The cells form clusters of {sizes}: {taken} is taken; process the other crystals by themselves.{left}"
    return Decision("Unit cells", f"{members[0]} of {total}", reason)


def choose_symmetry(crystals: int) -> Decision:
    """symmetry or cosym, from the number of crystals indexed apart."""
    if crystals > 1:
        return Decision(
            "Symmetry", "cosym", f"{crystals} crystals were indexed apart and may be in different settings."
        )
    return Decision("Symmetry", "symmetry", "All sweeps share the indices of one crystal.")


def choose_sets(summary: Mapping[str, Any], names: Sequence[str]) -> Decision:
    """Which sets belong together, from the summary of cosym; `names` of all sets that it was given."""
    told = [f"{number} ({name})" for number, name in enumerate(names)]
    excluded = {int(number): reason for number, reason in summary["excluded"].items()}
    kept = [s for s in summary["sets"] if s["n_pairs"] > 0]
    lowest = min(kept, key=lambda s: s["cc"], default=None)
    agree = (
        f"set {told[lowest['set']]} agrees least with the rest, by a correlation of {lowest['cc']:.2f} over "
        f"{lowest['n_pairs']:.0f} pairs"
        if lowest
        else "a single set is left, which nothing can be compared with"
    )
    question = "Left-out sets"
    if not excluded:
        return Decision(question, "none", f"Of {len(names)} sets, {agree}.")
    why = "; ".join(f"set {told[k]}: {reason}" for k, reason in excluded.items())
    n = len(summary["sets"])
    others = f"of the {n} others, 0 to {n - 1} from here on, {agree}" if lowest else agree
    return Decision(question, ", ".join(told[k] for k in excluded), f"{why[0].upper()}{why[1:]}; {others}.")


def with_names(decision: Decision, names: Sequence[str]) -> Decision:
    """The decision about sets, or images of sets, with the names of the sets whose numbers it chose."""
    chosen = dict.fromkeys(word.partition(":")[0] for word in decision.choice.split())
    told = [f"set {number} is {names[int(number)]}" for number in chosen if number.isdigit()]
    return replace(decision, reason=f"{decision.reason} Here {', '.join(told)}.") if told else decision


def keep_symmetrized(space_group: str, sets: int) -> Decision:
    """That the space group and the sets chosen by hand stay as they are."""
    return Decision(
        "Space group", space_group, f"As symmetrized by hand: the files have changed since they were written here, and "
        f"hold {sets} set{'s' if sets > 1 else ''} now. Without symmetrized.refl the symmetry is analysed here again.",
    )  # fmt: skip


def keep_scaled(sets: int, observations: int, d_min: float) -> Decision:
    """That scaled data that were made by hand stay as they are; what they hold."""
    return Decision(
        "Scaled data", "as made by hand", f"They have changed since they were written here: {observations} scaled "
        f"observations of {sets} set{'s' if sets > 1 else ''} to {d_min:.2f} Å are merged, and what was left out stays "
        "so. Without scaled.refl the data are scaled here again.",
    )  # fmt: skip


def explain_space_group(summary: Mapping[str, Any]) -> Decision:
    """The space group with the evidence for it, from the summary of the analysis of symmetry."""
    first, *others = summary["subgroup_scores"]
    reason = f"Laue group {first['patterson_group']}: likelihood {first['likelihood']:.3f}"
    if others:
        reason += f" (the next, {others[0]['patterson_group']}: {others[0]['likelihood']:.3f})"
    rotations = [e for e in summary["sym_op_scores"] if e["order"] > 1]
    pairs = sum(e["n_ref"] for e in rotations)
    if not rotations:
        reason += ", the lattice has no rotations"
    elif pairs < _FEWEST_PAIRS:
        reason += f". Only {pairs} pairs of reflections that rotations relate were measured, too few to compare"
    else:
        reason += f", its rotations correlate intensities by {first['cc_for']:.2f}"
        if first["patterson_group"] != summary["lattice_point_group"]:
            reason += f", the others of the lattice by {first['cc_against']:.2f}"
    reason += "".join([*_screw_axes(summary["screw_axes"]), ".", *_what_absences_leave_open(summary)])
    if first["likelihood"] < _LIKELY:
        reason += " This is not certain: look at the other groups in the log; symmetry.laue_group= takes one."
    return Decision("Space group", str(summary["space_group"]), reason)


def _screw_axes(axes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The evidence for each screw axis that has any, and those that have none."""
    seen = [
        f"{a['name']} {a['probability']:.2f} ({a['n_absent']} forbidden, their <I/σ> {a['i_over_sigma_absent']:.1f})"
        for a in axes
        if a["n_absent"]
    ]
    unseen = [a["name"] for a in axes if not a["n_absent"]]
    found = [f"; screw axes by absences: {', '.join(seen)}"] if seen else []
    if unseen:
        found.append(f"; unknown: {', '.join(unseen)}, no reflection was measured that these forbid")
    return found


def _what_absences_leave_open(summary: Mapping[str, Any]) -> list[str]:
    """Other space groups that the intensities do not exclude."""
    if not summary["space_group_scores"]:
        return []
    chosen, others = summary["space_group_scores"][0], summary["space_group_alternatives"]
    found = []
    if others:
        listed = ", ".join(f"{g} ({s['probability']:.2f})" for s in others for g in s["space_groups"])
        first = chosen["space_groups"][0]
        axes = "" if summary["space_group"] in chosen["space_groups"] else " (axes as in the Laue group)"
        if any(a["n_absent"] for a in summary["screw_axes"]):
            found.append(f" {first} ({chosen['probability']:.2f}){axes} is the likeliest; try {listed}, too.")
        else:
            found.append(f" {first}{axes} stands for all that have its rotations; try {listed}, too.")
    if len(chosen["space_groups"]) > 1:
        found.append(f" No intensities can tell it from {', '.join(chosen['space_groups'][1:])}.")
    return found


def choose_scaling(observations: int, unique: int, sweeps: int) -> Decision:
    """Which scales can be determined, from how often reflections were measured again."""
    repeats = observations - unique
    what = (
        f"{observations} observations of {unique} reflections: {repeats} are repeated, in {sweeps} "
        f"sweep{'s' if sweeps > 1 else ''}"
    )
    if repeats < _REPEATS_FOR_A_SCALE * sweeps:
        need = _REPEATS_FOR_A_SCALE * sweeps
        return Decision("Scaling", "stop", f"{what}; scales need {need} or more.")
    if repeats < _REPEATS_FOR_A_CURVE * sweeps:
        need = _REPEATS_FOR_A_CURVE * sweeps
        return Decision("Scaling", "one scale a sweep", f"{what}; scales that vary along a sweep need {need}.")
    return Decision("Scaling", "scales along each sweep", f"{what}.")


def choose_anomalous(cc: float, pairs: int, slope: float) -> Decision:
    """Whether Friedel mates differ, from the correlation of their differences in half data sets, of which `pairs` had
    both, and the slope of the normal probability plot of the differences over their errors (1: errors alone)."""
    if pairs < _FEWEST_PAIRS:
        reason = f"Only {pairs} reflections have both mates in both halves of the data: too few to judge differences."
        return Decision("Friedel mates", "together", reason)
    what = f"Anomalous differences of half data sets correlate by {cc:.2f} ({pairs} reflections)"
    if slope == slope:
        what += f", and are {slope:.2f} times as large as their errors"
    chance = _ANOMALOUS_SIGMAS / pairs**0.5
    least = max(_ANOMALOUS_CC, chance)
    if cc > least and slope > 1:
        return Decision("Friedel mates", "apart", f"{what}; by chance they would correlate within ±{chance:.2f}.")
    return Decision("Friedel mates", "together", f"{what}; {least:.2f} and differences above errors are needed.")


def keep_cut(wanted: float, d_min: float) -> Decision:
    """The resolution that the user asks for; `d_min` is the highest measured."""
    return Decision("Resolution", f"{wanted:.2f}", f"As asked for; the data reach {d_min:.2f} Å.")


def choose_cut(
    limit: float | None, within_data: bool, left: int, d_min: float, significant: float | None = None
) -> Decision:
    """Whether to scale again to a resolution, from the limit where CC½ falls to its threshold.

    `left` is the number of unique reflections to the limit (of CC½ that is below the threshold everywhere, the limit is
    the lowest resolution), `d_min` the highest resolution measured. Beyond `significant` too few reflections are
    repeated for CC½ to say anything: no reason to throw them away.
    """
    question = "Resolution"
    if limit is None:
        return Decision(question, "all", f"CC½ follows no curve that a limit could be read from, to {d_min:.2f} Å.")
    if not within_data:
        reason = f"CC½ stays above its threshold to the end of the data, {d_min:.2f} Å"
        if significant is not None and significant > d_min + _CUT_MARGIN:
            reason += f", as far as it tells: beyond {significant:.2f} Å few reflections are repeated"
        return Decision(question, "all", f"{reason}.")
    if limit < d_min + _CUT_MARGIN:
        return Decision(question, "all", f"CC½ falls to its threshold at {limit:.2f} Å, the data end at {d_min:.2f} Å.")
    if left < _FEWEST_LEFT:
        reason = f"CC½ is below its threshold beyond {limit:.2f} Å, to where there are {left} reflections"
        return Decision(question, "all", f"{reason}: no limit makes these good data; they reach {d_min:.2f} Å.")
    return Decision(question, f"{limit:.2f}", f"CC½ falls to its threshold there; the data reach {d_min:.2f} Å.")


def choose_merged_lattices(agreement: Sequence[float], strength: Sequence[float]) -> Decision:
    """Whether lattices on the same images are merged, from the correlation of each with the strongest (mean over
    shells), and the mean I/σ of each. The choice is "all", or the number of the strongest."""
    main = max(range(len(strength)), key=lambda k: strength[k])
    others = [k for k in range(len(strength)) if k != main]
    what = "; ".join(
        f"lattice {k} (<I/σ> {strength[k]:.1f}) correlates with lattice {main} (<I/σ> {strength[main]:.1f}) by "
        f"{agreement[k]:.2f}"
        for k in others
    )
    if all(agreement[k] >= _LATTICES_AGREE for k in others):
        return Decision("Merged lattices", "all", f"On the same images {what}.")
    return Decision("Merged lattices", str(main), f"On the same images {what}: they overlap too much to be merged.")


def choose_exclusions(
    unit: str,
    names: Sequence[str],
    gains: Sequence[float],
    cc_half: Sequence[tuple[float, float]],
    bad: Sequence[bool],
    rejected: Sequence[float],
    counts: Sequence[int],
) -> Decision:
    """Whether sets or groups of images are left out. The choice is "none", or their names.

    What CC½ `gains` without each (after Fisher's transformation; `cc_half`: with it and without), and whether that
    stands out (`bad`), tells where reflections are repeated without it; the share that scaling has `rejected` tells
    where they are not. `counts` are observations.
    """
    question = f"Bad {unit}"
    usual = sorted(rejected)[len(rejected) // 2]
    limit = max(_REJECTED, _TIMES_USUAL * usual)
    better = [
        gain > _WORTH_LEAVING_OUT and round(after, 4) > round(before, 4)
        for gain, (before, after) in zip(gains, cc_half, strict=True)
    ]
    spoilt = [rejected[k] > limit and _is_no_chance(k, rejected, counts) for k in range(len(names))]
    chosen = [k for k in range(len(names)) if (bad[k] and better[k]) or spoilt[k]]
    usually = f"usually {100 * usual:.1f} % of a group are outliers"
    if not chosen:
        worst = max(range(len(gains)), key=lambda k: gains[k])
        with_it, without_it = cc_half[worst]
        change = "gains most" if without_it > with_it else "loses least"
        return Decision(
            question, "none", f"CC½ {change} without {names[worst]} of {len(names)}, {_from_to(cc_half[worst])}; "
            f"{usually}, at most {100 * max(rejected):.1f} %: nothing stands out.",
        )  # fmt: skip
    without = "; ".join(
        f"CC½ changes {_from_to(cc_half[k])} without {names[k]}, of which {100 * rejected[k]:.1f} % are outliers"
        for k in chosen[:_GROUPS_TOLD]
    )
    if len(chosen) > _GROUPS_TOLD:
        without += f"; and so on for {len(chosen) - _GROUPS_TOLD} more"
    share = sum(counts[k] for k in chosen) / max(sum(counts), 1)
    if share > _MOST_LEFT_OUT[unit]:
        return Decision(question, "none", f"{without}; but that is {100 * share:.0f} % of the data: look at them.")
    return Decision(question, " ".join(names[k] for k in chosen), f"{without}; {usually}.")


def _is_no_chance(k: int, rejected: Sequence[float], counts: Sequence[int]) -> bool:
    """Whether so many outliers, or more, are unlikely in any group if they fall on the others' share (one outlier more
    than theirs, so that none does not mean never)."""
    outliers = [round(share * n) for share, n in zip(rejected, counts, strict=True)]
    share = (sum(outliers) - outliers[k] + 1) / (sum(counts) - counts[k] + 2)
    return bool(bdtrc(outliers[k] - 1, counts[k], share) < _CHANCE / len(counts))


def _from_to(cc_half: tuple[float, float]) -> str:
    return "from {:.4f} to {:.4f}".format(*cc_half)


def judge_merged(r_meas: float, cc_half: float) -> Decision:
    """Whether the merged data can be trusted, from Rmeas and CC½ of the innermost shell, where noise matters least."""
    what = f"In the innermost shell Rmeas is {r_meas:.3f} and CC½ {cc_half:.3f}"
    if r_meas != r_meas or cc_half != cc_half:
        return Decision("Merged data", "doubtful", f"{what}: too little is repeated there to judge by.")
    if r_meas > _POOR_R_MEAS or cc_half < _POOR_CC_HALF:
        return Decision(
            "Merged data", "doubtful",
            f"{what}: strong equivalents do not agree. Reflections may be recorded in part only (images wider than "
            "rocking curves, or stills), the symmetry be too high, or lattices overlap.",
        )  # fmt: skip
    return Decision("Merged data", "sound", f"{what}.")
