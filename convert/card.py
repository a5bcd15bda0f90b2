"""The model card of a bundle (Mitchell et al., "Model cards for model reporting", 2019). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convert.package import ConvertedVariant, Description

FIGURES = (
    ("eer", "EER", "{:.1%}"),
    ("auc", "AUC", "{:.3f}"),
    ("accuracy", "accuracy", "{:.1%}"),
    ("tpr_at_5_fpr", "TPR at 5 % FPR", "{:.1%}"),
    ("min_dcf", "minDCF", "{:.3f}"),
    ("cllr", "Cllr", "{:.3f}"),
    ("min_cllr", "min Cllr", "{:.3f}"),
)
# Cllr above its minimum by more than this share is told in words.
CALIBRATION_AIM = 0.1
LICENCES_SHOWN = 12
GROUPED_BY = (("family", "generator family"), ("language", "language"), ("source", "source"))


def model_card(
    description: Description,
    variants: Mapping[str, ConvertedVariant],
    parity: str,
    notes: Sequence[str] = (),
    audit: str = "",
    reports: Iterable[Mapping[str, Any]] = (),
) -> str:
    """CARD.md: what the model is for, how good it is where, what it is made of, how to make it.

    Args:
        description: what the manifest says.
        variants: forms of the network by name.
        parity: the table of `parity_table`.
        notes: further sentences, such as what is new in this version.
        audit: the table of `earwitness-train audit`, if it was made.
        reports: of `earwitness-train evaluate`; those on test are told by family, language and
            source.
    """
    groups = _groups([report for report in reports if report.get("split") == "test"])
    parts = [
        f"# {description.name} {description.version}",
        "\n\n".join([_purpose(description), *notes]),
        "## How good it is\n\n" + _results(description.metrics.get("conditions", {})),
        *(["## On what it errs\n\n" + GROUPS + "\n\n" + groups] if groups else []),
        "## How it decides\n\n" + _decision(description),
        "## Forms\n\n" + _forms(description, variants),
        "## Conversion\n\n" + parity.strip(),
        "## What it was trained on\n\n" + _data(description.provenance),
        *(["## Shortcuts\n\n" + SHORTCUTS + "\n\n" + audit.strip()] if audit.strip() else []),
        "## Limits\n\n" + LIMITS,
        "## Licence\n\n" + LICENCE,
        "## How to make it\n\n" + _commands(description.provenance),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


GROUPS = """\
Of test, in each condition: the EER of a group's recordings against all of the other class, and how
many of them are called spoof at the operating point. Few recordings say little."""

CALIBRATION = """\
What Cllr has above its minimum is what the same scores lose because the probabilities made of them
are too sure, or not sure enough. It is more than a tenth of the minimum here:
"""

SHORTCUTS = """\
How often a classifier is right that is given only duration, silence at the edges, bandwidth, level
and noise floor of a training window, before and after the pipeline that the network learns from."""

SOURCES = """\
Its sources by licence: repositories on GitHub as OWNER/NAME, packages of Debian as deb:NAME, and
earwitness/synthesize, whose text synthesisers read for this network."""

LIMITS = """\
- It scores windows of speech; music, silence and noise are not its subject, and the device leaves
  windows without speech unscored.
- Detectors of this size lose much of their accuracy on synthesisers, languages and channels that
  they have not met: the lines "unseen" above are nearer to what to expect than "all". In mixed
  sources, which publish both human and synthetic speech, the kind of recording gives least away.
- A probability is evidence, not proof. It assumes that human and synthesised voices are equally
  likely; where synthesised ones are rare, most alerts at any fixed rate of false alerts are false.
- Whoever can try sounds against it can find some that it misses. It is no defence alone.
- Its figures are of sources that the manifest of its corpus puts in `test` (and in `val`, which its
  threshold was chosen on). On sets that are not in that manifest nothing has been measured here.
- It says nothing about who speaks, nor whether what is said is true."""

LICENCE = """\
Network and card: Apache-2.0. The training audio is not part of the bundle; its licences are those
named above. Where one bars commercial use (NC) or changed copies (ND), or none is stated, whoever
sells what holds this network should ask what that means for them. The golden clip is computed by
`convert/golden.py`; it is nobody's voice."""


def _purpose(description: Description) -> str:
    front_end = description.front_end
    seconds = description.window_samples / front_end.sample_rate_hz
    size = description.provenance.get("parameters")
    macs = description.provenance.get("multiply_accumulates")
    costs = f" {size:,} parameters, {macs / 1e6:.1f} million multiply-accumulates per window." if (
        size and macs
    ) else ""
    return (
        f"Tells from {seconds:g} s of speech at {front_end.sample_rate_hz / 1000:g} kHz whether "
        "the voice is a person's (bona fide) or was synthesised, converted or vocoded (spoof), on "
        f"the device that hears it. Made {description.created[:10]}.{costs}"
    )


def _results(conditions: Mapping[str, Any]) -> str:
    lines = [
        "Spoof is the positive class. One score per recording: the mean over its windows. "
        "In brackets, 95 % intervals over whole sources drawn anew.",
        "",
        f"| data | generators | trials | {' | '.join(title for _, title, _ in FIGURES)} |",
        f"|---|---|---:|{'---:|' * len(FIGURES)}",
    ]
    rows = [
        _row(condition, part, values)
        for condition, parts in conditions.items()
        for part, values in parts.items()
    ]
    if not rows:
        return "No results were recorded with the run."
    told = _miscalibrated(conditions)
    return "\n".join(lines + rows + (["", CALIBRATION, *told] if told else []))


def _miscalibrated(conditions: Mapping[str, Any]) -> list[str]:
    """A sentence for each condition of test in which unseen generators miss `CALIBRATION_AIM`."""
    sentences = []
    for condition, parts in conditions.items():
        values = parts.get("unseen_generators", {})
        cost, least = values.get("cllr"), values.get("min_cllr")
        # Old bundles hold no minimum, and nothing is a share of nought.
        if not condition.startswith("test") or cost is None or not least:
            continue
        if (over := cost / least - 1) > CALIBRATION_AIM:
            sentences.append(
                f"- In {condition}, Cllr on unseen generators lies {100 * over:.0f} % above its "
                "minimum."
            )
    return sentences


def _row(condition: str, part: str, values: Mapping[str, Any]) -> str:
    spans = values.get("intervals", {})
    cells = []
    for key, _, shape in FIGURES:
        cell = shape.format(values[key]) if key in values else ""
        if key in spans:
            low, high = (shape.format(edge) for edge in spans[key])
            cell += f" ({low} to {high})"
        cells.append(cell)
    kind = part.replace("_generators", "").replace("_", " ")
    return f"| {condition} | {kind} | {values.get('trials', '')} | {' | '.join(cells)} |"


def _groups(reports: Sequence[Mapping[str, Any]]) -> str:
    """A table for each of `GROUPED_BY`, with a column for each report's condition."""
    from training.evaluate import table_markdown

    tables = [table_markdown(_group_rows(reports, *names)) for names in GROUPED_BY]
    return "\n".join(table for table in tables if table)


def _group_rows(
    reports: Sequence[Mapping[str, Any]], attribute: str, title: str
) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for report in reports:
        for found in report.get(f"by_{attribute}", ()):
            name, label = found[attribute], found["label"]
            row = {title: name, "class": label, "recordings": found["trials"]}
            row |= {one["condition"]: "" for one in reports}
            error = "-" if found["eer"] is None else f"{found['eer']:.1%}"
            told = f"{error}, {found['called_spoof']:.0%}"
            rows.setdefault((name, label), row)[report["condition"]] = told
    return list(rows.values())


def _decision(description: Description) -> str:
    point, calibration = description.operating_point, description.calibration
    return (
        f"probability of spoof = sigmoid({calibration.scale:.4g} x logit "
        f"{calibration.offset:+.4g}), for equal priors. Operating point: above "
        f"{point.threshold:.4f} a window is called spoof; chosen for {point.chosen_on}, where "
        f"{point.false_positive_rate:.1%} of bona fide recordings lay above it and "
        f"{point.false_negative_rate:.1%} of spoofs did not. The window slides by "
        f"{description.hop_s:g} s unless configured otherwise; a shorter recording is filled up by "
        f"\"{description.padding}\"."
    )


def _forms(description: Description, variants: Mapping[str, ConvertedVariant]) -> str:
    lines = [
        "| variant | size | logit of the golden clip | tolerance |",
        "|---|---:|---:|---:|",
    ]
    for name, variant in variants.items():
        on = [machine for machine, used in description.machine_variants.items() if used == name]
        mark = " (default)" if name == description.default_variant else ""
        mark += f" (on {', '.join(on)})" if on else ""
        lines.append(
            f"| {name}{mark} | {len(variant.model) / 1000:.0f} kB "
            f"| {variant.golden_logit:.4f} | {variant.golden_tolerance:.4f} |"
        )
    lines += ["", f"Scored with {description.provenance.get('runtime', 'an unknown runtime')}."]
    for runtime, found in description.provenance.get("runtime_differences", {}).items():
        spread = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
        lines.append(f"Largest difference of {runtime} from it, in logit: {spread}.")
    return "\n".join(lines)


def _data(provenance: Mapping[str, Any]) -> str:
    data = provenance.get("data", {})
    trials = data.get("trials", {})
    lines = [
        f"{trials.get('train/bonafide', 0):,} bona fide and {trials.get('train/spoof', 0):,} spoof "
        f"recordings of {data.get('train_sources', 0)} sources and "
        f"{data.get('train_generators', 0)} generators; validated on "
        f"{trials.get('val/bonafide', 0):,} and {trials.get('val/spoof', 0):,} of other sources. "
        f"SHA-256 over the list of trials: `{data.get('manifest_sha256', '')}`. "
        f"Code: `{provenance.get('code') or 'unknown'}`.",
    ]
    licences = data.get("train_licences", {})
    if licences:
        shown = list(licences.items())[:LICENCES_SHOWN]
        rest = sum(licences.values()) - sum(count for _, count in shown)
        named = ", ".join(f"{name} ({count})" for name, count in shown)
        more = f", others ({rest})" if rest else ""
        lines += ["", f"Licences of the training recordings, as published: {named}{more}."]
    sources = data.get("train_sources_by_licence", {})
    if sources:
        lines += ["", SOURCES, ""]
        lines += [f"- {licence}: {', '.join(names)}" for licence, names in sources.items()]
    return "\n".join(lines)


def _commands(provenance: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in provenance.get("converter", {}).items())
    fenced = ["```", *provenance.get("commands", ()), "```"]
    lines = [*_checkout(provenance), *fenced, "", f"Converted with {versions}."]
    return "\n".join(lines)


def _checkout(provenance: Mapping[str, Any]) -> list[str]:
    """What to run the commands in, as far as it is known.

    The code that holds the recipe, where there is one; else that which trained the run.
    """
    code = provenance.get("recipe_code", provenance.get("code"))
    if not code:
        return []
    revision = clean_revision(code)
    changed = "" if revision == code else " Files had been changed since that revision."
    return [
        f"Of the code at `{revision}` and the recordings whose list has the SHA-256 above."
        f"{changed}",
        "",
    ]


def clean_revision(code: str) -> str:
    """What git can check out of a run's revision, which ends in "-dirty" where files differed."""
    return code.removesuffix("-dirty")
