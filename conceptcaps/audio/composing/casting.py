"""Who plays: the instruments that are asked for, and those that the genre or the tags cannot do without."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conceptcaps.audio.composing import tables
from conceptcaps.audio.composing.character import strongest
from conceptcaps.audio.composing.plan import Plan
from conceptcaps.tags.taxonomy import Taxonomy

BEATS = frozenset({"steady beat", "groovy", "danceable", "four-on-the-floor", "driving rhythm"})  # tags that want a kit
_RHYTHMS = frozenset({"swing rhythm", "waltz time", "syncopated"})  # that want an accompaniment
_OPTIONAL = 0.5  # how often the genre's optional parts play
_KINDS = {  # of what a tag leaves open
    "guitar": ["acoustic guitar", "electric guitar", "distorted guitar"],
    "bass": ["bass guitar", "double bass", "synth bass"],
    **{tag: ["electronic drums"] for tag in ("drums", "kick drum", "snare drum", "hi-hats", "cymbals", "toms")},
}
_THIN = frozenset({"effect", "drone", "bass"})  # roles that make no music alone


@dataclass(frozen=True)
class Seat:
    """A player.

    Attributes:
        tag: The tag that it realises.
        role: As in ``instruments.yaml``; ``kit`` for percussion, ``extra`` for a genre's second harmony.
        row: Its row of the table.
        asked: Whether the tag was asked for.
        tune: Whether it carries the tune beside its own part.
        ground: Whether it plays the roots beside its own part.
    """

    tag: str
    role: str
    row: Mapping[str, Any]
    asked: bool
    tune: bool = False
    ground: bool = False


def cast(plan: Plan, taxonomy: Taxonomy) -> list[Seat]:
    """Seats of a piece, what was asked for first.

    A genre's core roles are filled where nobody who was asked for fills them; its other roles only where no instrument
    was asked for. Percussion alone, effects and drones get company where a genre or mood has to be heard, a tune gets
    chords where a mood lives by its mode.
    ``no percussion``, ``instrumental``, ``sparse arrangement`` and ``a cappella`` keep others out.
    """
    seats = [_seat(tag, plan, asked=True) for tag in _named(plan.asked, taxonomy)]
    if "a cappella" in plan.asked:
        return _shared_out([seat for seat in seats if seat.tag != "a cappella"] + _choir(plan, seats), plan)
    company = _Company(plan, taxonomy, seats)
    sparse = "sparse arrangement" in plan.asked
    if plan.genre != "none" and not (sparse and seats):
        company.genre(every=not [seat for seat in seats if seat.role != "kit"], most=1 if sparse else 9)
    elif plan.genre == "none":
        whole = any("whole" in seat.row for seat in seats)
        melodic = [seat for seat in seats if seat.role not in _THIN and seat.role != "kit"]
        if not melodic and (not whole or plan.character.moods or any(seat.role != "kit" for seat in seats)):
            company.band(most=1 if sparse else 4)
    if not sparse:
        company.rhythm()
    return _shared_out(company.seats, plan)


class _Company:
    """Seats that join those asked for; each is refused that an asked tag excludes."""

    def __init__(self, plan: Plan, taxonomy: Taxonomy, seats: Sequence[Seat]) -> None:
        self.plan, self.taxonomy, self.seats = plan, taxonomy, list(seats)

    def genre(self, *, every: bool, most: int) -> None:
        style = self.plan.style
        for role in [*style["core"], *(role for role in style["band"] if role not in style["core"])][:most]:
            core = role in style["core"]
            wanted = core or (every and self.plan.streams.share("optional", role) < _OPTIONAL)
            if wanted and not self._filled(role, core=style["core"]):
                self._join(self._shared(role), role)
        for other in self.plan.others[:1] if most > 1 else ():
            self._blend(tables.genres()[other])
        if not [seat for seat in self.seats if seat.role not in ("kit", "effect")]:
            self._join(["piano", "acoustic guitar"], "harmony")

    def _shared(self, role: str) -> list[str]:
        """Who plays a role of the genre, those first whom another genre that is asked for has too."""
        own = list(self.plan.style["band"][role])
        others = {tag for other in self.plan.others for tag in tables.genres()[other]["band"].get(role, [])}
        return [tag for tag in own if tag in others] or own

    def _blend(self, style: Mapping[str, Any]) -> None:
        """Seat those by whom a second genre is known and whom nobody stands for yet."""
        present = {seat.tag for seat in self.seats}
        for role in style["core"]:
            if role in ("harmony", "pad", "lead", "drone") and not present & set(style["band"][role]):
                self._join(style["band"][role], role)

    def band(self, *, most: int) -> None:
        ranked = strongest(self.plan.character.moods)
        bands = tables.moods()[ranked[0]]["band"] if ranked else [["piano"], ["acoustic guitar"], ["electric piano"]]
        kit = any(seat.role == "kit" for seat in self.seats)
        joined = 0
        for tag in self.plan.streams.pick(bands, "band"):
            if joined < most and not (kit and tag in tables.kit()):
                joined += self._join([tag], _role(tag))
        if not any(seat.role not in ("kit", "effect", "bass", "drone") for seat in self.seats):
            self._join(["piano", "acoustic guitar"], "harmony")

    def rhythm(self) -> None:
        asked = self.plan.asked
        electronic = [name for name in ("electronic drums", "drums") if name in self.plan.style["band"].get("kit", [])]
        if asked & BEATS and not self._filled("kit", core=()):
            self._join([*electronic, "drums"], "kit")
        if asked & {"groovy", "danceable"} and not self._filled("bass", core=()):
            self._join(self.plan.style["band"].get("bass", ["bass guitar"]), "bass")
        supported = any(seat.role in ("harmony", "bass", "kit", "pad") for seat in self.seats)
        bare = ((asked & _RHYTHMS or self.plan.paced) and not supported) or (self.plan.tells and not self._chords())
        if bare or ("arpeggio" in asked and not self._melodic()):
            self._join(self.plan.style["band"].get("harmony", ["piano", "acoustic guitar"]), "harmony")

    def _chords(self) -> bool:
        """Whether somebody tells major from minor, or a drone or a genre's own band stands for that."""
        players = [row for seat in self.seats for row in (seat.row, *seat.row.get("also", []))]
        grounds = {"harmony", "pad", "drone"} & {row.get("role") for row in players}
        return bool(grounds) or self.plan.genre != "none"

    def _melodic(self) -> bool:
        return any(seat.role in ("harmony", "pad", "lead") for seat in self.seats)

    def _filled(self, role: str, *, core: Iterable[str]) -> bool:
        if role == "kit":  # where the genre has a drum kit, hand percussion does not stand in for it
            own = self.plan.style["band"].get("kit", []) if core else []
            kits = {"kit"} if any(tables.kit()[tag].get("whole") == "kit" for tag in own) else {"kit", "hand", "skins"}
            return any(seat.row.get("whole") in kits or seat.tag in own for seat in self.seats)
        taking = {"harmony": {"harmony"} if "kit" in core else {"harmony", "pad"}}.get(role, {role})
        return any(seat.role in taking and not seat.row.get("struck") for seat in self.seats)

    def _join(self, tags: Sequence[str], role: str) -> bool:
        """Seat one of the tags that nothing asked for excludes; False if there is none."""
        present = {seat.tag for seat in self.seats} | self.plan.asked
        fitting = [tag for tag in tags if tag not in present and not self._excluded(tag)]
        if fitting:
            seat = _seat(self.plan.streams.pick(fitting, "cast", role), self.plan, asked=False)
            second = role == "extra" and seat.role == "harmony"
            self.seats.append(replace(seat, role="extra") if second else seat)
        return bool(fitting)

    def _excluded(self, tag: str) -> bool:
        return bool(self.taxonomy.contradictions([*self.plan.asked, tag, *self.taxonomy.ancestors(tag)]))


def _role(tag: str) -> str:
    return str(tables.instruments()[tag]["role"]) if tag in tables.instruments() else "kit"


def _seat(tag: str, plan: Plan, *, asked: bool) -> Seat:
    row = tables.instruments()[tag] if tag in tables.instruments() else tables.kit()[tag]
    own = plan.style.get("programs", {})
    kind = _kind(tag, plan)
    programs = own.get(tag) or own.get(kind) or (tables.instruments().get(kind) or tables.kit()[kind]).get("programs")
    return Seat(tag, _role(tag), {**row, "programs": programs} if programs else row, asked)


def _kind(tag: str, plan: Plan) -> str:
    """The genre's own kind of an instrument whose tag leaves the kind open, else the tag.

    Where the genre's only kit is a machine, that plays a kit's pieces, too. A genre of acoustic and electric guitars
    leaves it open.
    """
    if plan.genre == "none" or ("acoustic drums" in plan.asked and tag in tables.kit()):
        return tag
    band = [name for names in plan.style["band"].values() for name in names]
    open_too = {tag, "drums"} if tag in tables.kit() else {tag}
    kinds = [] if open_too & {*band} else [kind for kind in band if kind in _KINDS.get(tag, [])]
    return kinds[0] if kinds and ("acoustic guitar" not in kinds or len(kinds) == 1) else tag


def _named(asked: Iterable[str], taxonomy: Taxonomy) -> list[str]:
    """Playable tags in the tables' order; a kind that a more exact tag of the same role names is left to that tag.

    Drums are not left to their cymbals: a piece is no kit.
    """
    known = [*tables.instruments(), *tables.kit()]
    playable = [tag for tag in known if tag in asked]
    exact = {(above, _role(tag), _whole(tag)) for tag in playable for above in taxonomy.ancestors(tag)}
    return [tag for tag in playable if (tag, _role(tag), _whole(tag)) not in exact or tag == "percussion"]


def _whole(tag: str) -> bool:
    """Whether a tag of percussion names a whole kit or set."""
    return "whole" in tables.kit().get(tag, {})


def _choir(plan: Plan, seats: Sequence[Seat]) -> list[Seat]:
    sung = {seat.tag for seat in seats}
    return [] if sung & {"choir", "vocal harmony"} else [_seat("a cappella", plan, asked=True)]


def _shared_out(seats: Sequence[Seat], plan: Plan) -> list[Seat]:
    """Give the tune to a chord instrument where no part leads, the roots to one where no part is the bass."""
    able = [seat for seat in seats if seat.role in ("harmony", "pad")]
    whole = any(seat.row.get("also") for seat in seats)
    if not able or whole:
        return list(seats)
    carrier = next((seat for seat in able if seat.asked), able[0])
    tunes = plan.style.get("tune", True) or len(seats) == 1 or bool(plan.character.moods)
    tune = tunes and not any(seat.role == "lead" for seat in seats)
    deep = next((seat for seat in able if seat.row["low"] <= 45), None)
    ground = None if any(seat.role == "bass" for seat in seats) else deep
    return [replace(seat, tune=tune and seat is carrier, ground=seat is ground) for seat in seats]
