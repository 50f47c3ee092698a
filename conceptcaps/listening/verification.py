"""Is the concept in the clip? Detectors of tags, a verdict on every asked tag, and how far to trust the detectors.

A detector gives a score that is higher the more a clip sounds like its tag: musicnn's likelihood of tags that mean the
same, or, for the five tempi, how much of a clip's pulse lies in the tempo's range. Scores are not probabilities, and
their level differs between tags and kinds of audio, so a verdict compares a clip with the clips of the same run that
neither were asked for the tag nor carry it: ``present`` if it scores above three quarters of them, ``absent`` if below
three quarters, ``uncertain`` otherwise or where there is no detector. One in four clips without a concept hence
passes as present: a detector's AUC says what its verdicts are worth.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from conceptcaps import figures
from conceptcaps.audio import spectrum
from conceptcaps.intervals import bootstrap_mean
from conceptcaps.listening import embeddings, musicnn
from conceptcaps.tags.taxonomy import Taxonomy

PRESENT, ABSENT = 0.75, 0.25
FEWEST_OTHERS = 8  # clips without a tag that a verdict on it needs
FEWEST_ASKED = 3  # clips with a tag that an AUC needs
TEMPI = {  # beats per minute
    "slow tempo": (40, 75),
    "moderately slow tempo": (75, 95),
    "medium tempo": (95, 115),
    "moderately fast tempo": (115, 135),
    "fast tempo": (135, 240),
}
BPM = np.exp2(np.linspace(np.log2(40), np.log2(240), 156))  # a sixtieth of an octave, about 1 %, apart
_FRAME_RATE = 62.5  # Hz, of musicnn's spectra

# Our tag: musicnn's tags that mean the same, by training set; "-" stands before one that means the opposite.
_TABLE = """
rock = MTT rock + MSD rock; hard rock = MSD hard rock; alternative rock = MSD alternative rock + MSD alternative;
indie rock = MSD indie rock + MSD indie + MSD indie pop; punk rock = MSD punk; progressive rock = MSD Progressive rock;
metal = MTT metal + MSD metal + MSD heavy metal; pop = MTT pop + MSD pop; r&b = MSD rnb; soul = MSD soul;
funk = MSD funk; blues = MSD blues; jazz = MSD jazz; hip hop = MSD Hip-Hop; country = MTT country + MSD country;
folk = MSD folk; classical = MTT classical + MTT classic; opera = MTT opera; ambient = MTT ambient + MSD ambient;
new age = MTT new age; electronic = MTT electronic + MSD electronic + MSD electronica;
dance music = MTT dance + MSD dance; house = MSD House; techno = MTT techno; experimental = MSD experimental;
indian music = MTT indian; happy = MSD happy; sad = MSD sad; festive = MSD party; weird = MTT weird;
calm = MTT quiet + MSD chill + MSD chillout; gentle = MTT soft; mellow = MSD Mellow;
easygoing = MSD easy listening + MSD chill; sensual = MSD sexy; catchy = MSD catchy;
vocals = MTT vocals + MTT vocal + MTT singing + MTT voice;
male vocals = MTT male vocal + MTT male voice + MTT male + MTT man + MSD male vocalists;
female vocals = MTT female vocal + MTT female voice + MTT female + MTT woman + MSD female vocalists
  + MSD female vocalist;
choir = MTT choir + MTT choral; instrumental = MTT no vocals + MTT no vocal + MTT no voice + MSD instrumental;
guitar = MTT guitar + MSD guitar; acoustic guitar = MTT guitar + MSD acoustic; sitar = MTT sitar; harp = MTT harp;
piano = MTT piano; harpsichord = MTT harpsichord; synthesizer = MTT synth; strings = MTT strings; violin = MTT violin;
cello = MTT cello; flute = MTT flute; percussion = MTT drums + MTT beat + MTT beats; drums = MTT drums;
no percussion = -MTT drums + -MTT beat + -MTT beats; danceable = MTT dance + MSD dance
"""


def _heard_by() -> Iterator[tuple[str, list[tuple[int, str, str]]]]:
    for entry in _TABLE.split(";"):
        tag, names = entry.split("=")
        parts = [name.split(maxsplit=1) for name in names.split("+")]
        yield tag.strip(), [(-1 if "-" in source else 1, source[-3:], name.strip()) for source, name in parts]


HEARD_BY = dict(_heard_by())
DETECTORS = dict.fromkeys(TEMPI, "tempo") | {
    tag: "+".join(sorted({f"musicnn_{source.lower()}" for _, source, _ in heard})) for tag, heard in HEARD_BY.items()
}


def pulse(log_mel: ArrayLike) -> NDArray[np.float32]:
    """How strongly a clip pulses at each tempo of ``BPM``: ``(156,)`` in [0, 1], 1 at the likeliest tempo.

    In six bands the onset strength, the rise of log-mel energy over its surroundings, is correlated with itself. A
    tempo counts by the mean correlation one to four beats later, a little less where half a beat later is as good, and
    by how usual it is (log-normal around 120, one octave wide). Half and double of the right tempo stand out too, and
    one of them often wins. Without any onset, as in silence, it is 0 everywhere.

    Args:
        log_mel: Spectrum ``(frames, 96)`` of ``clips.spectrum``, of 3 s or more: slow beats need length.

    References:
        Ellis, Beat tracking by dynamic programming, 2007. Scheirer, Tempo and beat analysis, 1998 (onsets in bands).
    """
    rises = np.maximum(np.diff(np.asarray(log_mel, dtype=np.float64), axis=0), 0)
    onsets = np.stack([band.sum(1) for band in np.array_split(rises, 6, axis=1)])
    size, reach = onsets.shape[1], round(_FRAME_RATE / 2)
    sums = np.cumsum(np.pad(onsets, ((0, 0), (1, 0))), axis=1)
    first, last = np.maximum(np.arange(size) - reach, 0), np.minimum(np.arange(size) + reach, size)
    onsets = np.maximum(onsets - (sums[:, last] - sums[:, first]) / (last - first), 0)
    onsets -= onsets.mean(1, keepdims=True)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(onsets, 2 * size)) ** 2)[:, :size]
    correlation = correlation[correlation[:, 0] > 1e-6 * size]
    if not len(correlation):
        return np.zeros(len(BPM), np.float32)
    overlap = np.maximum(size - np.arange(size), size / 8) / size
    mean = (correlation / correlation[:, :1]).mean(0) / overlap
    lag = 60 * _FRAME_RATE / BPM

    def at(lags: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.max([np.interp(lags + shift, np.arange(size), mean, right=0.0) for shift in (-1, 0, 1)], axis=0)

    beats = np.stack([np.where(count * lag < 0.9 * size, at(count * lag), np.nan) for count in (1, 2, 3, 4)])
    usual = np.exp(-0.5 * np.log2(BPM / 120) ** 2)
    strength = np.maximum(np.nanmean(beats, axis=0) - 0.1 * at(lag / 2), 0) * usual
    return (strength / max(strength.max(), 1e-9)).astype(np.float32)


def _pulse(sound: bytes) -> dict[str, NDArray[np.float32]]:
    frames = spectrum.spectrum(sound)
    return {"pulse": pulse(spectrum.to_length(frames, length=max(len(frames), spectrum.FRAMES)))}


def hear(sounds: Iterable[bytes], *, cache: Path) -> pd.DataFrame:
    """Score of every clip for every tag that has a detector; higher is more of it.

    Args:
        sounds: Encoded audio files; iterated three times.
        cache: Folder that outlives the run; musicnn's answers are shared with ``evaluate_audio``.

    Returns:
        One row a clip, one column a tag of ``DETECTORS``, in [0, 1]. For musicnn it is the likelihood whose log-odds
        are the mean of those of its tags; for a tempo the strongest pulse in the range, see ``pulse``.
    """
    odds: dict[tuple[str, str], NDArray[np.float64]] = {}
    for model, source in embeddings.MUSICNN.items():
        likelihood = embeddings.musicnn_means(sounds, model=model, cache=cache)["taggram"].astype(np.float64)
        clipped = np.clip(likelihood, 1e-6, 1 - 1e-6)
        odds |= {
            (source, name): column
            for name, column in zip(musicnn.TAGS[source], np.log(clipped / (1 - clipped)).T, strict=True)
        }
    scores = {
        tag: 1 / (1 + np.exp(-np.mean([sign * odds[source, name] for sign, source, name in heard], axis=0)))
        for tag, heard in HEARD_BY.items()
    }
    made = embeddings.compute(sounds, function=_pulse, name="pulse", cache=cache)
    pulses = np.stack([arrays["pulse"] for arrays in made])
    for tag, (low, high) in TEMPI.items():
        scores[tag] = pulses[:, (low <= BPM) & (BPM <= high)].max(axis=1)
    return pd.DataFrame(scores)


def judge(
    ids: Sequence[str],
    asked: Sequence[Sequence[str]],
    added: Sequence[Sequence[str]],
    scores: pd.DataFrame,
    *,
    taxonomy: Taxonomy,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Verdicts on every asked tag of every clip, and what each detector is worth.

    Args:
        ids: Ids of the clips.
        asked: Tags that each clip was asked to have.
        added: Tags that each clip is known to have besides.
        scores: What ``hear`` says of the clips, in the same order.
        taxonomy: Gives broader tags: a clip with an acoustic guitar is none without a guitar.

    Returns:
        The verification, ``id``, ``tag``, ``score`` (NaN without a detector), ``verdict`` and ``detector``, one row for
        each clip and asked tag in order. And one row for each tag with a detector that was asked for: ``tag``,
        ``category``, ``detector``, ``asked`` and ``others`` (clips with it, broader tags included, and without),
        ``auc`` (that one of the former scores above one of the latter; .5 is chance, NaN with fewer than three asked or
        eight others) and the numbers of its verdicts, ``present``, ``absent``, ``uncertain``.

    Raises:
        ValueError: If the lengths differ.
    """
    if not len(ids) == len(asked) == len(added) == len(scores):
        raise ValueError(f"expected one entry a clip, got {[len(ids), len(asked), len(added), len(scores)]}")
    wanted = [_implied(tags, taxonomy) for tags in asked]
    carried = [tags | _implied(more, taxonomy) for tags, more in zip(wanted, added, strict=True)]
    verdicts: dict[str, list[str]] = {}
    table = []
    for tag in sorted({tag for tags in asked for tag in tags} & set(scores.columns)):
        values = scores[tag].to_numpy(dtype=np.float64)
        has = np.array([tag in tags for tags in wanted])
        others = np.sort(values[[tag not in tags for tags in carried]])
        below, upto = (np.searchsorted(others, values, side) for side in ("left", "right"))
        enough = len(others) >= FEWEST_OTHERS
        rank = (below + upto) / 2 / len(others) if enough else np.full(len(values), 0.5)
        verdicts[tag] = np.select([rank >= PRESENT, rank <= ABSENT], ["present", "absent"], "uncertain").tolist()
        row = {"tag": tag, "category": taxonomy.category(tag), "detector": DETECTORS[tag]}
        auc = _auc(values[has], others) if enough and has.sum() >= FEWEST_ASKED else float("nan")
        table.append({**row, "asked": int(has.sum()), "others": len(others), "auc": auc})
    frame = pd.DataFrame(
        [
            (clip, tag, float(scores[tag].iloc[row]), verdicts[tag][row], DETECTORS[tag])
            if tag in verdicts
            else (clip, tag, float("nan"), "uncertain", "none")
            for row, (clip, tags) in enumerate(zip(ids, asked, strict=True))
            for tag in tags
        ],
        columns=["id", "tag", "score", "verdict", "detector"],
    )
    columns = ["tag", "category", "detector", "asked", "others", "auc"]
    counts = pd.crosstab(frame["tag"], frame["verdict"]).reindex(
        columns=["present", "absent", "uncertain"], fill_value=0
    )
    kinds = {"asked": np.int64, "others": np.int64, "auc": np.float64}
    worth = pd.DataFrame(table, columns=columns).astype(kinds)
    return frame, worth.merge(counts, left_on="tag", right_index=True, how="left")


def summarise(frame: pd.DataFrame, table: pd.DataFrame, *, seed: int = 0) -> dict[str, float]:
    """Rates of the verdicts and mean AUC of the detectors, from what ``judge`` gives.

    Args:
        frame: The verification.
        table: The detectors.
        seed: Seed of the bootstrap over detectors.

    Returns:
        ``verify/present_rate``, ``absent_rate`` and ``uncertain_rate`` over all asked tags; ``verify/detected_rate``,
        the share of them that has a detector, and ``verify/present_rate_detected`` over those; the number of
        ``verify/detectors`` with an AUC and, from two on, ``verify/auc_mean`` (``_low``, ``_high``), .5 being chance.
    """
    detected = frame["detector"] != "none"
    rates = {
        f"verify/{name}_rate": float((frame["verdict"] == name).mean()) for name in ("present", "absent", "uncertain")
    }
    aucs = table["auc"].dropna()
    metrics = {**rates, "verify/detected_rate": float(detected.mean()), "verify/detectors": float(len(aucs))}
    if detected.any():
        metrics["verify/present_rate_detected"] = float((frame["verdict"][detected] == "present").mean())
    if len(aucs) > 1:
        found = bootstrap_mean(aucs, seed=seed)
        metrics |= found.metrics("verify/auc_mean")
    return metrics


def figure(table: pd.DataFrame, *, most: int = 40) -> Figure:
    """Bars of AUC and verdicts for the detectors of the tags most asked for, best detector first."""
    chosen = table.dropna(subset="auc").nlargest(most, "asked").sort_values("auc")
    drawn = Figure(figsize=(11, 1.6 + 0.22 * len(chosen)), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    labels = [f"{tag} ({asked})" for tag, asked in zip(chosen["tag"], chosen["asked"], strict=True)]
    left.barh(labels, chosen["auc"], color=[figures.COLOURS[name] for name in chosen["category"]])
    for name in chosen["category"].unique():
        left.bar(0, 0, color=figures.COLOURS[name], label=name)
    left.legend(
        *left.get_legend_handles_labels(), frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.04)
    )
    left.axvline(0.5, color="#333333", linewidth=1)
    left.set(
        title="detector tells asked from not asked", xlabel="AUC (.5 is chance)", ylabel="tag (clips)", xlim=(0, 1)
    )
    start, total = np.zeros(len(chosen)), chosen[["present", "uncertain", "absent"]].sum(axis=1).to_numpy()
    for name, colour in (("present", "#228833"), ("uncertain", "#cccccc"), ("absent", "#cc3311")):
        share = 100 * chosen[name].to_numpy() / total
        right.barh(labels, share, left=start, color=colour, label=name)
        start = start + share
    right.set(title="verdicts on asked tags", xlabel="clips asked for the tag (%)", xlim=(0, 100))
    right.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.04))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.01)
    return drawn


def _implied(tags: Sequence[str], taxonomy: Taxonomy) -> set[str]:
    """Tags and their ancestors; a tag that is not the taxonomy's stands for itself."""
    return set(tags) | taxonomy.closure(tag for tag in tags if tag in taxonomy.tags)


def _auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Share of pairs in which the first scores higher; ties count half."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)].sum()
    return float((ranks - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))
