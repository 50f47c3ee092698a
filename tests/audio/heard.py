"""What a MIDI file holds, read by symusic and by rules of this file: nothing here knows the composer or its truth."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from symusic import Score

KRUMHANSL = {  # how well each tone fits a key in listeners' ears (Krumhansl and Kessler, 1982)
    "major": [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
    "minor": [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
}
_NEAR = 0.07  # of a quarter note


@dataclass(frozen=True)
class Track:
    """One program's notes in order of time: start and length in quarters, pitch, velocity."""

    program: int
    drum: bool
    start: np.ndarray
    length: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray

    @property
    def onsets(self) -> np.ndarray:
        """Distinct onsets (quarters)."""
        ordered = np.sort(self.start)
        return ordered[np.concatenate([[True], np.diff(ordered) > _NEAR])]

    @property
    def together(self) -> float:
        """Notes struck at once, on average."""
        return len(self.start) / len(self.onsets)


class Heard:
    """A clip of music as its MIDI file tells it."""

    def __init__(self, data: bytes) -> None:
        score = Score.from_midi(data, ttype="quarter")
        self.tracks = []
        for track in score.tracks:
            notes = track.notes.copy().sort(inplace=False).numpy()
            if len(notes["time"]):
                columns = (np.asarray(notes[name], float) for name in ("time", "duration", "pitch", "velocity"))
                self.tracks.append(Track(track.program, track.is_drum, *columns))
        self.tempi = [tempo.qpm for tempo in score.tempos]
        self.meter = score.time_signatures[0].numerator
        self.quarters = max(float((track.start + track.length).max()) for track in self.tracks)

    @property
    def bpm(self) -> float:
        return float(np.mean(self.tempi))

    @property
    def melodic(self) -> list[Track]:
        return [track for track in self.tracks if not track.drum]

    def programs(self) -> set[int]:
        return {track.program for track in self.melodic}

    def kits(self) -> set[int]:
        return {track.program for track in self.tracks if track.drum}

    def keys(self) -> set[int]:
        """Percussion keys that are struck twice or more."""
        struck = [int(pitch) for track in self.tracks if track.drum for pitch in track.pitch]
        return {key for key in struck if struck.count(key) > 1}

    def of(self, programs: Iterable[int], fits: Callable[[Track], bool] = lambda track: True) -> bool:
        """Whether a track of these programs sounds (two notes, or a long one) and fits."""
        return any(
            track.program in set(programs) and (len(track.start) > 1 or track.length.max() > 2) and fits(track)
            for track in self.melodic
        )

    def strikes(self, keys: Iterable[int]) -> np.ndarray:
        """Where percussion keys are struck (quarters), each place once."""
        found = [track.start[np.isin(track.pitch, list(keys))] for track in self.tracks if track.drum]
        ordered = np.sort(np.concatenate(found or [np.zeros(0)]))
        return ordered[np.concatenate([[True], np.diff(ordered) > _NEAR])] if len(ordered) else ordered

    def hit(self, keys: Iterable[int], places: Iterable[int]) -> float:
        """Share of beats at ``places`` of the bar on which keys are struck, from the first stroke on."""
        struck = self.strikes(keys)
        if not len(struck):
            return 0.0
        wanted = [beat for beat in range(int(struck[0]), int(self.quarters)) if beat % self.meter in set(places)]
        return float(np.mean([np.abs(struck - beat).min() < _NEAR for beat in wanted])) if wanted else 0.0

    @property
    def onsets(self) -> np.ndarray:
        """Distinct onsets of everything (quarters)."""
        ordered = np.sort(np.concatenate([track.start for track in self.tracks]))
        return ordered[np.concatenate([[True], np.diff(ordered) > _NEAR])]

    def between(self, low: float, high: float) -> float:
        """Share of onsets that fall between these places of the beat, 0 to 1."""
        phases = self.onsets % 1
        return float(((phases > low) & (phases < high)).mean())

    def offbeat(self) -> float:
        """Share of chords struck between the beats, in the track that does so most."""
        shares = [0.0]
        for track in self.melodic:
            counts = np.diff([*np.searchsorted(np.sort(track.start), track.onsets - 1e-6), len(track.start)])
            phases = track.onsets[counts > 1] % 1
            if len(phases) > 7:
                shares.append(float(((phases > 0.2) & (phases < 0.8)).mean()))
        return max(shares)

    @property
    def profile(self) -> np.ndarray:
        """How long each pitch class sounds (quarters)."""
        found = np.zeros(12)
        for track in self.melodic:
            found += np.bincount(track.pitch.astype(int) % 12, weights=track.length, minlength=12)
        return found

    @property
    def brightness(self) -> float:
        """How much better the best major key fits than the best minor one, as a difference of correlations."""
        best = {
            name: max(np.corrcoef(np.roll(ratings, key), self.profile)[0, 1] for key in range(12))
            for name, ratings in KRUMHANSL.items()
        }
        return best["major"] - best["minor"]

    @property
    def plainness(self) -> float:
        """How well the best key fits, as a correlation: 1 is a plain key."""
        ratings = [np.roll(rating, key) for rating in KRUMHANSL.values() for key in range(12)]
        return float(max(np.corrcoef(rating, self.profile)[0, 1] for rating in ratings))

    @property
    def statistics(self) -> dict[str, float]:
        """What studies of expression measure: mode, tempo, notes a second, pitch, length, loudness, clashes."""
        pitch, length, velocity = (
            np.concatenate([getattr(track, name) for track in self.melodic]) for name in ("pitch", "length", "velocity")
        )
        return {
            "mode": self.brightness,
            "tempo": self.bpm,
            "density": len(self.onsets) / (self.quarters * 60 / self.bpm),
            "register": float(pitch.mean()),
            "length": float(np.median(length) * 60 / self.bpm),
            "force": float(velocity.mean()),
            "contrast": float(velocity.std()),
            "plainness": self.plainness,
            "clashes": self.clashes,
            "repeats": self.repeats(),
        }

    @property
    def clashes(self) -> float:
        """Mean share of pairs of pitch classes sounding together that are a semitone or tritone apart."""
        start, end, pitch = (
            np.concatenate(values)
            for values in zip(
                *((track.start, track.start + track.length, track.pitch) for track in self.melodic), strict=True
            )
        )
        found = []
        for place in np.arange(0.1, self.quarters, 0.5):
            classes = np.unique(pitch[(start <= place) & (end > place)] % 12)
            steps = (classes[:, None] - classes[None]) % 12
            upper = steps[np.triu_indices(len(classes), 1)]
            if len(upper):
                found.append(np.isin(upper, (1, 6, 11)).mean())
        return float(np.mean(found or [0]))

    def repeats(self) -> float:
        """Share of bars of the steadiest track that are equal to the bar before."""
        best = 0.0
        for track in self.tracks:
            bars: dict[int, set] = {}
            for start, pitch in zip(track.start.tolist(), track.pitch.tolist(), strict=True):
                bars.setdefault(int(start // self.meter), set()).add((round(start % self.meter, 2), pitch))
            whole = [bars.get(bar, set()) for bar in range(int(self.quarters // self.meter))]
            same = [one == other and bool(one) for one, other in pairwise(whole)]
            best = max(best, float(np.mean(same or [0])))
        return best

    def broken(self) -> float:
        """Share of moves by a third to an octave from one single tone to the next, in the track that does so most."""
        shares = [0.0]
        for track in self.melodic:
            if len(track.start) > 7:
                moves = np.abs(np.diff(track.pitch))[np.diff(track.start) > _NEAR]
                shares.append(float(((moves >= 3) & (moves <= 12)).mean()))
        return max(shares)

    def pushing(self) -> float:
        """Onsets a beat of the busiest track."""
        return max(len(track.onsets) / self.quarters for track in self.tracks)
