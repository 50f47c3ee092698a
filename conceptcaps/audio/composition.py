"""Tags to music on paper: who plays what, when and how loudly. Every tag is realised or said not to be."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from conceptcaps.audio.score import Note, Part, Piece
from conceptcaps.tags.taxonomy import Taxonomy

TABLE = Path(__file__).with_name("composition.yaml")
STEPS = 4  # sixteenths in a beat
_SOFT, _LOUD = 46, 112
_CHROMATIC = 12


@cache
def table() -> Mapping[str, Any]:
    """What can be played, and how: the content of ``composition.yaml``."""
    content: Mapping[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return content


def compose(tags: Iterable[str], *, duration: float, seed: int, taxonomy: Taxonomy) -> Piece:
    """Write a piece in which the tags hold.

    Genre gives beat, chords and mode; moods mode and energy; tempo tags the beats per minute; instruments the parts.
    Where no instrument is asked for, the genre's own parts play and are reported in ``added``, as is the kit of a genre
    that lives by its beat. Nothing else is added.

    Args:
        tags: Canonical tags.
        duration: Length to fill (s).
        seed: Seed of key, tempo within its range, chords' order and melody.
        taxonomy: Gives categories and ancestors.

    Raises:
        ValueError: If there are no tags, the duration is not above 0, or the tags contradict each other.
    """
    asked = sorted(set(tags))
    if not asked or duration <= 0:
        raise ValueError(f"expected tags and a duration above 0 s, got {asked} and {duration}")
    clashes = taxonomy.contradictions(asked)
    if clashes:
        raise ValueError(f"expected tags without contradictions, got {' with '.join(clashes[0])}")
    writer = _Writer(asked, duration=duration, generator=np.random.default_rng(seed), taxonomy=taxonomy)
    return writer.piece()


class _Writer:
    def __init__(
        self, asked: list[str], *, duration: float, generator: np.random.Generator, taxonomy: Taxonomy
    ) -> None:
        know = table()
        self._asked, self._random, self._taxonomy = asked, generator, taxonomy
        genres = [tag for tag in asked if tag in know["genres"]]
        self._genre_tag = max(genres, key=lambda tag: len(taxonomy.ancestors(tag)), default="none")
        self._genre = know["genres"][self._genre_tag]
        moods = [know["moods"][tag] for tag in asked if tag in know["moods"]]
        self._energy = float(np.mean([mood["energy"] for mood in moods])) if moods else 0.55
        mode = self._genre.get("mode") or (moods[0]["mode"] if moods else "major")
        self._scale = know["modes"][mode]
        self._tonic = int(generator.integers(_CHROMATIC))
        self._meter = 3 if "waltz time" in asked or self._genre["beat"] == "waltz" else 4
        tempo = next((tag for tag in asked if tag in know["tempo"]), None)
        low, high = know["tempo"][tempo] if tempo else self._genre["bpm"]
        self._bpm = float(np.round(generator.uniform(low, high), 1))
        fastest = self._bpm * (1.4 if "tempo changes" in asked else 1)
        self._bars = int(np.ceil(duration * fastest / 60 / self._meter)) + 1
        self._tempi = [(0.0, self._bpm)]
        if "tempo changes" in asked:
            steps = max(self._bars, 2)
            self._tempi = [(float(bar * self._meter), self._bpm * (1 + 0.4 * bar / steps)) for bar in range(steps)]
        self._swing = "swing rhythm" in asked or bool(self._genre.get("swing"))
        self._motif = self._draw_motif()
        self._added: set[str] = set()

    # --- who plays ---

    def piece(self) -> Piece:
        know = table()
        pitched = [tag for tag in self._asked if tag in know["instruments"]]
        kit = [tag for tag in self._asked if tag in know["kit"]]
        silent_kit = "no percussion" in self._asked
        sparse = "sparse arrangement" in self._asked or "a cappella" in self._asked
        for tag in self._genre["parts"]:
            if tag in know["kit"] and not kit and not silent_kit and not sparse:
                kit.append(tag)
                self._added.add(tag)
        thin = {"effect"} if self._genre_tag == "none" else {"effect", "drone", "bass"}
        sounding = [tag for tag in pitched if know["instruments"][tag]["part"] not in thin]
        if not sounding and (self._genre_tag != "none" or not kit):
            own = [tag for tag in self._genre["parts"] if tag in know["instruments"] and tag not in pitched]
            own = own[:1] if sparse else own
            if not own and not pitched:
                own = ["piano"]
            pitched += own
            self._added |= set(own)
        if silent_kit:
            pitched = [tag for tag in pitched if not self._is_struck(tag)] or ["piano"]
            self._added |= set(pitched) - set(self._asked)
        parts = [part for order, tag in enumerate(pitched) for part in self._part(tag, order)]
        parts += [part for part in self._percussion(kit) if part.notes]
        parts = [part for part in parts if part.notes]
        unrealised = sorted(set(self._asked) - self._realised(parts))
        added = sorted(self._added - set(self._asked))
        return Piece(parts, self._tempi, self._meter, unrealised=unrealised, added=added)

    def _is_struck(self, tag: str) -> bool:
        return bool(self._taxonomy.contradictions(["no percussion", tag]))

    def _realised(self, parts: list[Part]) -> set[str]:
        """Tags that hold in what is played, and their ancestors."""
        know = table()
        sounding = {part.tag for part in parts}
        rhythm = any(part.percussion for part in parts) or any(
            know["instruments"].get(tag, {}).get("part") == "bass" for tag in sounding
        )
        held = sounding | {tag for tag in self._asked if tag in know["moods"] or tag in know["tempo"]}
        held |= {self._genre_tag} | set(self._taxonomy.ancestors(self._genre_tag) if self._genre_tag != "none" else [])
        always = {"steady beat": rhythm and "tempo changes" not in self._asked, "tempo changes": True}
        always |= {"waltz time": True, "repetitive pattern": True, "arpeggio": self._has_chords(parts)}
        always |= {"swing rhythm": True, "syncopated": self._has_chords(parts), "driving rhythm": rhythm}
        always["danceable"] = any(part.percussion for part in parts) and 90 <= self._bpm <= 150
        always["groovy"] = any(part.percussion for part in parts)
        kicks = any(part.percussion and any(note.pitch == 36 for note in part.notes) for part in parts)
        always["four-on-the-floor"] = kicks and self._meter == 4
        always["instrumental"] = not sounding & set(know["voices"])
        always["no percussion"] = not any(part.percussion for part in parts)
        always["sparse arrangement"] = len(sounding) <= 2
        always["a cappella"] = bool(sounding) and sounding <= set(know["voices"])
        held |= {tag for tag, holds in always.items() if holds}
        return held | {above for tag in held - {"none"} for above in self._taxonomy.ancestors(tag)}

    def _has_chords(self, parts: list[Part]) -> bool:
        return any(table()["instruments"].get(part.tag, {}).get("part") == "chords" for part in parts)

    # --- what they play ---

    def _chord(self, bar: int, pitch: int) -> list[int]:
        """Three pitches of the bar's chord, the root nearest to ``pitch``."""
        degree = self._genre["chords"][bar % len(self._genre["chords"])]
        steps = (0, 2, 4) if len(self._scale) == 7 else (0, 1, 3)
        tones = [self._degree(degree + step) for step in steps]
        root = tones[0] + _CHROMATIC * round((pitch - tones[0]) / _CHROMATIC)
        return [root + tone - tones[0] for tone in tones]

    def _degree(self, degree: int) -> int:
        octave, place = divmod(degree, len(self._scale))
        return self._tonic + self._scale[place] + _CHROMATIC * octave

    def _velocity(self, accent: float) -> int:
        level = _SOFT + (_LOUD - _SOFT) * (0.35 + 0.65 * self._energy) * accent
        return int(np.clip(4 * round(level / 4) + 4 * self._random.integers(-1, 2), 1, 127))

    def _at(self, bar: int, beat: float) -> float:
        """Start in beats; off-beat eighths come late where the rhythm swings."""
        if self._swing and round(beat * 2) % 2 == 1 and abs(beat * 2 - round(beat * 2)) < 1e-6:
            beat += 1 / 6
        return bar * self._meter + beat

    def _part(self, tag: str, order: int) -> list[Part]:
        how = table()["instruments"][tag]
        write = {"chords": self._chords, "pad": self._pad, "bass": self._bass, "lead": self._lead}
        write |= {"drone": self._drone, "effect": self._effect}
        parts = [Part(tag, how["program"], False, write[how["part"]](how, order))]
        for extra in how.get("also", []):
            notes = write[extra["part"]](extra, order)
            parts.append(Part(tag, extra["program"], False, notes))
        return parts

    def _chords(self, how: Mapping[str, Any], order: int) -> list[Note]:
        pattern = how.get("pattern") or self._genre.get("pattern") or ("held" if self._energy < 0.25 else "beats")
        pattern = "strum" if "strummed guitar" in self._asked and how["program"] in (25, 27) else pattern
        pattern = "skank" if "syncopated" in self._asked else pattern
        pattern = "arpeggio" if "arpeggio" in self._asked else pattern
        notes = []
        for bar in range(self._bars):
            chord = self._chord(bar, how["pitch"] + 3 * (order % 3 - 1))
            if pattern == "held":
                notes += [Note(self._at(bar, 0), self._meter * 0.98, pitch, self._velocity(0.6)) for pitch in chord]
            elif pattern == "arpeggio":
                tones = [*chord, chord[0] + _CHROMATIC, *chord[:0:-1]]
                for step in range(self._meter * 2):
                    pitch = tones[step % len(tones)]
                    notes.append(Note(self._at(bar, step / 2), 0.6, pitch, self._velocity(0.75 if step else 0.9)))
            elif pattern == "strum":
                for step in range(self._meter * 2):
                    if step % 4 != 1:
                        up = step % 2
                        for place, pitch in enumerate(chord[::-1] if up else chord):
                            start = self._at(bar, step / 2) + 0.025 * place
                            notes.append(Note(start, 0.45, pitch, self._velocity(0.6 if up else 0.8)))
            else:
                beats = {
                    "skank": [beat + 0.5 for beat in range(self._meter)],
                    "stabs": [0.0, 1.5] if self._meter == 4 else [0.0],
                }.get(pattern, [float(beat) for beat in range(self._meter)])
                length = 0.3 if pattern == "skank" else 0.5 if pattern == "stabs" else 0.9
                notes += [
                    Note(self._at(bar, beat), length, pitch, self._velocity(0.75)) for beat in beats for pitch in chord
                ]
        return notes

    def _pad(self, how: Mapping[str, Any], order: int) -> list[Note]:
        return [
            Note(self._at(bar, 0), float(self._meter), pitch, self._velocity(0.5))
            for bar in range(self._bars)
            for pitch in self._chord(bar, how["pitch"] + 5 * (order % 2))
        ]

    def _bass(self, how: Mapping[str, Any], order: int) -> list[Note]:
        notes = []
        eighths = self._energy > 0.8 or "driving rhythm" in self._asked
        for bar in range(self._bars):
            root, _, fifth = self._chord(bar, how["pitch"])
            if self._swing:  # walking
                line = [root, self._chord(bar, how["pitch"])[1], fifth, root + _CHROMATIC - 1][: self._meter]
                notes += [Note(self._at(bar, beat), 0.9, pitch, self._velocity(0.8)) for beat, pitch in enumerate(line)]
            elif eighths:
                steps = range(self._meter * 2)
                notes += [Note(self._at(bar, step / 2), 0.45, root, self._velocity(0.85)) for step in steps]
            elif "groovy" in self._asked or "syncopated" in self._asked or self._genre["beat"] == "funk":
                for beat, pitch in ((0, root), (0.75, root), (1.5, fifth), (2.5, root + _CHROMATIC), (3.25, fifth)):
                    if beat < self._meter:
                        notes.append(Note(self._at(bar, beat), 0.4, pitch, self._velocity(0.85)))
            else:
                second = fifth if self._meter == 4 else root
                notes.append(Note(self._at(bar, 0), self._meter / 2, root, self._velocity(0.8)))
                notes.append(Note(self._at(bar, self._meter / 2), self._meter / 2, second, self._velocity(0.7)))
        return notes

    def _draw_motif(self) -> list[tuple[float, float, int]]:
        """Two bars of melody: start, length (beats) and scale steps from the chord's root."""
        lengths = [0.5, 1.0] if self._energy > 0.6 else [1.0, 2.0] if self._energy < 0.3 else [0.5, 1.0, 1.5]
        beat, step, motif = 0.0, int(self._random.choice([0, 2, 4])), []
        while beat < 2 * self._meter - 0.25:
            length = min(float(self._random.choice(lengths)), 2 * self._meter - beat)
            if self._random.random() > 0.12:
                motif.append((beat, length, step))
            step = int(np.clip(step + self._random.choice([-2, -1, -1, 1, 1, 2]), -3, 7))
            beat += length
        return motif or [(0.0, 1.0, 0)]

    def _lead(self, how: Mapping[str, Any], order: int) -> list[Note]:
        """The motif over the chords; a second lead answers in the other bars, a third plays a third above."""
        repeats = "repetitive pattern" in self._asked
        notes = []
        for pair in range((self._bars + 1) // 2):
            if order % 3 == 1 and pair % 2 == 0 and pair + 1 < (self._bars + 1) // 2 and not repeats:
                continue
            shift = 0 if repeats or pair % 2 == 0 else int(self._random.choice([-1, 0, 1, 2]))
            for beat, length, step in self._motif:
                bar = 2 * pair + int(beat // self._meter)
                degree = self._genre["chords"][bar % len(self._genre["chords"])]
                on_beat = beat % 2 == 0
                wanted = step + shift + (2 if order % 3 == 2 else 0)
                pitch = self._degree(degree + (2 * round(wanted / 2) if on_beat else wanted))
                pitch += _CHROMATIC * round((how["pitch"] - pitch) / _CHROMATIC)
                start = self._at(bar, beat % self._meter)
                notes.append(Note(start, 0.92 * length, int(pitch), self._velocity(0.95 if on_beat else 0.85)))
        return notes

    def _drone(self, how: Mapping[str, Any], order: int) -> list[Note]:
        root = self._tonic + _CHROMATIC * round((how["pitch"] - self._tonic) / _CHROMATIC)
        return [Note(0, float(self._bars * self._meter), pitch, self._velocity(0.6)) for pitch in (root, root + 7)]

    def _effect(self, how: Mapping[str, Any], order: int) -> list[Note]:
        return [Note(self._at(bar, 0), 2.0 * self._meter, how["pitch"], 100) for bar in range(0, self._bars, 2)]

    def _percussion(self, kit: list[str]) -> list[Part]:
        """One part for each percussion tag; pieces named by themselves leave the whole kit's pattern to play them."""
        know = table()
        pattern = dict(know["beats"]["waltz" if self._meter == 3 else self._genre["beat"]])
        if "four-on-the-floor" in self._asked:
            pattern[36] = "x...x...x...x..."
        if "driving rhythm" in self._asked:
            pattern[42] = "xoxoxoxoxoxoxoxo"
        parts = []
        for tag in kit:
            how = know["kit"][tag]
            notes = list(pattern) if how.get("whole") else how["notes"]
            steps = {note: pattern.get(note, know["spare"].get(note, "")) for note in notes}
            parts.append(Part(tag, how.get("program", 0), True, self._grid(steps)))
        return parts

    def _grid(self, steps: Mapping[int, str]) -> list[Note]:
        return [
            Note(self._at(bar, place / STEPS), 0.2, pitch, self._velocity(1.0 if mark == "x" else 0.6))
            for bar in range(self._bars)
            for pitch, line in steps.items()
            for place, mark in enumerate(line[: self._meter * STEPS])
            if mark != "."
        ]
