"""What an ear finds of clips of the soundfont backend: instruments that had no part in making them, truth as the label.

Clips of fresh tag sets, three to five tags of each that the backend can make. musicnn's published labels are asked
whether they tell what the truth says (ROC-AUC), librosa's beat tracker for the tempo, pyloudnorm for the loudness.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import pandas as pd
import pyloudnorm
import torch
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from conceptcaps.audio import makeable, resampling, table, waveform
from conceptcaps.audio.loudness import LOUDNESS
from conceptcaps.listening import musicnn
from conceptcaps.tags import corpus
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets, executor

CHUNK = 50
LEAST = {"genre": 40, "mood": 20, "instrument": 20, "tempo": 20}  # clips on each side
MISS = 0.5  # LU
TEMPI = {
    "slow tempo": (40, 75), "moderately slow tempo": (75, 95), "medium tempo": (95, 115),
    "moderately fast tempo": (115, 135), "fast tempo": (135, 240),
}  # fmt: skip
DECIDED = (  # a score tells these of any clip
    "kick drum", "snare drum", "hi-hats", "cymbals", "toms", "drums", "percussion", "no percussion", "instrumental",
    "vocals",
    *TEMPI,
)  # fmt: skip
LABELS = {  # ours: the tagger's, where both mean the same
    "MTT": {
        "guitar": "guitar", "piano": "piano", "violin": "violin", "drums": "drums", "flute": "flute", "cello": "cello",
        "harp": "harp", "strings": "strings", "synthesizer": "synth", "choir": "choir", "sitar": "sitar",
        "harpsichord": "harpsichord", "slow tempo": "slow", "fast tempo": "fast", "classical": "classical",
        "techno": "techno", "electronic": "electronic", "opera": "opera", "new age": "new age",
        "indian music": "indian", "gentle": "soft", "weird": "weird",
    },
    "MSD": {
        "rock": "rock", "pop": "pop", "jazz": "jazz", "metal": "metal", "soul": "soul", "funk": "funk",
        "blues": "blues", "folk": "folk", "country": "country", "ambient": "ambient", "hip hop": "Hip-Hop",
        "house": "House", "r&b": "rnb", "dance music": "dance", "punk rock": "punk", "experimental": "experimental",
        "happy": "happy", "sad": "sad", "mellow": "Mellow", "easygoing": "easy listening", "calm": "chill",
    },
}  # fmt: skip


class Heard(NamedTuple):
    """A clip: what was asked for, what is true of it, and what the instruments read."""

    tags: list[str]
    present: list[str]
    absent: list[str]
    loudness: float
    bpm: float
    labels: dict[str, dict[str, float]]


def sets(source: str, count: int, seed: int, taxonomy: Taxonomy) -> list[list[str]]:
    """Three to five tags of a corpus' rows, drawn by seed."""
    generator = np.random.default_rng(seed)
    possible = set(makeable.makeable(taxonomy))
    known = corpus.distil(corpus.load_corpus(source), taxonomy=taxonomy, min_categories=2).rows["tags"]
    fit = [tags for row in known if len(tags := sorted(set(row) & possible)) >= 3]
    rows = [fit[place] for place in generator.integers(len(fit), size=count)]
    return [sorted(generator.permutation(row)[: int(generator.integers(3, 6))].tolist()) for row in rows]


def heard(rows: pd.DataFrame, soundfont: Path, duration: float, seed: int, taxonomy: Taxonomy) -> list[Heard]:
    """Play rows, and ask the instruments; rows that cannot be played are left out."""
    torch.set_num_threads(1)
    taggers = {name: musicnn.load(name) for name in LABELS}
    played = table.play_rows(
        rows, taxonomy=taxonomy, duration=duration, seed=seed, fonts=[soundfont], sample_rate=32_000, channels=1
    )
    found = []
    for clip in played.to_dict("records"):
        if clip["error"]:
            continue
        sound, rate = waveform.decode(clip["audio"]["bytes"])
        mono, plain = (resampling.resample(waveform.to_mono(sound), rate, to).reshape(-1) for to in (16_000, 22_050))
        onsets = librosa.onset.onset_strength(y=plain, aggregate=np.median)  # as librosa's beat tracker has it
        labels = {
            name: dict(zip(tagger.tags, tagger(mono[None])["taggram"][0].mean(0).tolist(), strict=True))
            for name, tagger in taggers.items()
        }
        found.append(
            Heard(
                clip["tags"], clip["present"], clip["absent"],
                pyloudnorm.Meter(rate).integrated_loudness(sound.T),
                float(librosa.feature.tempo(onset_envelope=onsets)[0]), labels,
            )
        )  # fmt: skip
    return found


def auc(scores: list[float], clips: list[Heard], tag: str) -> tuple[float, int, int]:
    """ROC-AUC of scores over clips in which a tag is present and those in which it is absent; how many are both."""
    truth = np.array([1 if tag in one.present else 0 if tag in one.absent else -1 for one in clips])
    yes, no = int((truth == 1).sum()), int((truth == 0).sum())
    both = yes and no
    return float(roc_auc_score(truth[truth >= 0], np.array(scores)[truth >= 0])) if both else float("nan"), yes, no


def in_range(bpm: float, tag: str) -> bool:
    """Whether a tempo, its half or its double is within a tag's range, give or take 4 %."""
    low, high = TEMPI[tag]
    return any(0.96 * low <= factor * bpm <= 1.04 * high for factor in (0.5, 1, 2))


def report(clips: list[Heard], taxonomy: Taxonomy) -> Iterator[str]:
    """What was found, a line each."""
    miss = np.abs(np.array([one.loudness for one in clips]) - LOUDNESS)
    level, *_ = auc([one.loudness for one in clips], clips, "percussion")
    yield f"loudness: {(miss > MISS).sum()} of {len(clips)} clips miss it by {MISS} LU; AUC for percussion {level:.3f}"
    timed = [(one, tag) for one in clips for tag in TEMPI if tag in one.present]
    right = np.mean([in_range(one.bpm, tag) for one, tag in timed] or [np.nan])
    yield f"beat tracker in the tag's range: {right:.1%} of {len(timed)}"
    asked = [tag for one in clips for tag in one.tags]
    unheard = Counter(tag for one in clips for tag in one.tags if tag not in one.present)
    yield f"asked tags that are not present: {unheard.total() / len(asked):.1%}; most: {unheard.most_common(8)}"
    open_ = Counter(tag for one in clips for tag in DECIDED if tag not in {*one.present, *one.absent})
    yield f"neither present nor absent: {dict(open_)}"
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, labels in LABELS.items():
        for tag, label in labels.items():
            score, yes, no = auc([one.labels[name][label] for one in clips], clips, tag)
            kind = taxonomy.category(tag)
            if min(yes, no) >= LEAST[kind]:
                found[kind][f"{tag} {score:.2f} ({yes})"] = score
    for kind, scores in found.items():
        yield f"{kind}: mean AUC {np.mean([*scores.values()]):.3f} of {len(scores)}: {', '.join(sorted(scores))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="demo", help="demo, or a file with captions and aspects")
    parser.add_argument("--count", type=int, default=200, help="clips")
    parser.add_argument("--duration", type=float, default=10.0, help="length of a clip (s)")
    parser.add_argument("--soundfont", type=Path, default=assets.fetch("soundfont"), help="sf2 or sf3 file")
    parser.add_argument("--seed", type=int, default=1959, help="of tag sets and music")
    args = parser.parse_args()
    taxonomy = Taxonomy.load()
    tags = sets(args.corpus, args.count, args.seed, taxonomy)
    rows = pd.DataFrame({"id": [f"row-{n}" for n in range(len(tags))], "tags": tags, "caption": "", "split": "train"})
    starts = range(0, len(rows), CHUNK)
    jobs = [(rows[start : start + CHUNK], args.soundfont, args.duration, args.seed, taxonomy) for start in starts]
    clips = [one for part in tqdm(executor.gather(heard, jobs, 2), total=len(jobs), unit="part") for one in part]
    print(f"music, {len(clips)} of {len(rows)} clips of {args.duration:.0f} s, {args.soundfont.name}:")
    print(*report(clips, taxonomy), sep="\n")


if __name__ == "__main__":
    main()
