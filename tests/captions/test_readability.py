import pytest

from conceptcaps.captions import readability


@pytest.mark.parametrize(
    ("text", "doubled"),
    [
        ("No bass guitar marks the bass guitar picks.", ["bass", "guitar"]),
        ("A trap trap trap can be seen.", ["trap", "trap"]),
        ("Soaring vocals are soaring above.", ["soaring"]),
        ("A guitar plays. The guitar stops.", []),
        ("Step by step and note after note, drums and drum and bass grow louder and louder.", []),
        ("Two voices in call and response, call after call.", []),
    ],
)
def test_words_doubled_inside_a_sentence(text, doubled):
    assert readability.doubled_words(text) == doubled


@pytest.mark.parametrize(
    ("text", "faulty"),
    [
        ("A cymbal plays the chords.", True),
        ("Drums carry the main melody.", True),
        ("A cheering crowd plays the main theme.", True),
        ("Congas take the lead.", True),
        ("Country music plays the hook.", True),
        ("The crowd sings along as a flute carries the melody.", False),
        ("The blues is never far away while a guitar plays the chords.", False),
        ("The beat comes from hip hop.", True),
        ("At the front of this energetic, classical piece is a moderately fast tempo.", True),
        ("At the front of this waltz is a male voice at a slow tempo.", False),
        ("The rhythm comes from a drum kit at a fast tempo.", False),
        ("A ballad fills in the harmony.", True),
        ("A vocal harmony keeps time.", True),
        ("A male saxophone takes the lead.", True),
        ("A vibraphone plays the melody while a cymbal keeps time.", False),
        ("A drummer plays a simple beat under the melody.", False),
        ("The song features a female vocalist.", False),
        ("The rhythm comes from strings.", True),
        ("A tambourine plays the refrain.", True),
        ("A keyboard and an organ keep time.", True),
        ("Strings and drums keep time.", False),
        ("The tempo is repetitive.", True),
        ("The tempo is slow and steady.", False),
        ("It is rounded out by a tambourine, an overdriven piano.", True),
        ("It is rounded out by a tambourine, a piano and a harp.", False),
        ("It is a song with a piano, a slow one at that.", False),
        ("There is no vocals.", True),
        ("There are no vocals. There is a drum kit.", False),
        ("It is strummed guitar.", True),
        ("The tempo is claps and brass.", True),
        ("The tune is piano-led, and it is a guitar ballad.", False),
        ("A mandolin plays the roots.", True),
        ("A bass guitar plays the roots under a violin.", False),
        ("It sounds youthful and male.", True),
        ("A bright hi-hats keep time.", True),
        ("A synth lead leads this claps.", True),
        ("A pair of congas and a set of drums keep time.", False),
        ("A piano and drums keep time.", False),
        ("It sounds like male vocals.", False),
        ("The beat comes from a full choir.", True),
        ("The rhythm comes from a deep, dusty set of bongos.", False),
        ("The rhythm comes from a bass guitar and an electric guitar.", False),
        ("A bowed timpani rolls under a trumpet.", True),
        ("A bowed double bass moves under a trumpet.", False),
        ("A strummed choir and a nylon-string bass guitar trade phrases.", True),
        ("All of this happens at a cymbal.", True),
        ("All of this happens at a moderately fast tempo.", False),
        ("The piece is led by a moderate tempo.", True),
        ("The tune is left to an instrumental element.", True),
        ("A fast tempo tells a tale.", True),
        ("A playful, fast tempo.", True),
        ("A fast, playful tune at a quick tempo.", False),
        ("A nylon-string accordion answers.", True),
        ("A nylon-string classical guitar answers.", False),
        ("The chords come from strummed guitars and open hi-hats.", True),
        ("Hi-hats ring out the tune in octaves.", True),
    ],
)
def test_roles_that_make_no_sense(text, faulty):
    assert bool(readability.role_faults(text)) == faulty
