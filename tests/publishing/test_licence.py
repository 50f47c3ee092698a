import pytest

from conceptcaps.publishing import licence

DISTILLED = ("distill_tags", {"corpus": "demo"})
WRITTEN = ("write_captions", {"captioner": "models:/conceptcaps-captioner/1"})
TRAINED = ("finetune_captioner", {"base_model": "smollm2", "caption_corpus": "builtin"})
PLAYED = ("generate_audio", {"backend": "soundfont", "soundfont": "embedded", "model": "none"})


@pytest.mark.parametrize(
    ("materials", "expected"),
    [
        ({"corpus": ["demo"], "base_model": ["smollm2"], "audio": ["TimGM6mb.sf2"]}, "cc-by-4.0"),
        ({"corpus": ["google/MusicCaps"], "base_model": ["smollm2"], "audio": ["FluidR3_GM.sf2"]}, "cc-by-sa-4.0"),
        ({"corpus": ["demo"], "audio": ["facebook/musicgen-small"]}, "cc-by-nc-4.0"),
        ({"corpus": ["demo"], "audio": ["FluidR3_GM.sf2", "facebook/musicgen-small"]}, "cc-by-nc-4.0"),
        ({"corpus": ["google/MusicCaps"], "audio": ["facebook/musicgen-large"]}, "other"),
        ({"corpus": ["google/MusicCaps"], "base_model": ["meta-llama/Llama-3.1-8B-Instruct"]}, "other"),
    ],
)
def test_follows_from_what_went_in(materials, expected):
    found, credits = licence.derive(materials)
    assert found == expected and len(credits) == sum(map(len, materials.values()))


def test_text_that_a_captioner_learnt_is_a_material_too():
    trained = ("finetune_captioner", {"base_model": "smollm2", "caption_corpus": "/data/theirs.csv"})
    found = licence.materials([DISTILLED, WRITTEN, trained, PLAYED])
    assert found["corpus"] == ["demo", "theirs.csv"]
    with pytest.raises(ValueError, match=r"got corpus theirs.csv; say which licence"):
        licence.derive(found)


def test_text_that_was_learnt_does_not_stand_in_for_the_corpus():
    trained = ("finetune_captioner", {"base_model": "smollm2", "caption_corpus": "google/MusicCaps"})
    with pytest.raises(ValueError, match=r"got corpus unknown; say which licence"):
        licence.derive(licence.materials([WRITTEN, trained, PLAYED]))


def test_one_material_of_two_names_is_credited_once():
    assert len(licence.derive({"corpus": ["demo"], "audio": ["TimGM6mb.sf2", "embedded"]})[1]) == 2


def test_materials_are_named_by_file_or_hub_id():
    runs = [
        ("distill_tags", {"corpus": "/data/musiccaps.csv"}),
        WRITTEN,
        ("finetune_captioner", {"base_model": "meta-llama/Llama-3.1-8B-Instruct@abc", "caption_corpus": "tag_sets"}),
        ("generate_audio", {"backend": "soundfont", "soundfont": "/fonts/FluidR3_GM.sf2", "model": "none"}),
    ]
    base = "meta-llama/Llama-3.1-8B-Instruct"
    found = licence.materials(runs)
    assert found == {"corpus": ["musiccaps.csv"], "base_model": [base], "audio": ["FluidR3_GM.sf2"]}
    assert licence.derive(found)[0] == "other"


def test_a_captioner_of_a_sweep_has_a_base_model_too():
    writing = ("write_captions", {"captioner": "models:/conceptcaps-captioner/1"})
    sweep = ("sweep_captioner", {"base_model": "meta-llama/Llama-3.1-8B-Instruct", "caption_corpus": "builtin"})
    assert licence.materials([writing, sweep])["base_model"] == ["meta-llama/Llama-3.1-8B-Instruct"]


@pytest.mark.parametrize(
    ("captioner", "trained"),
    [
        ("models:/conceptcaps-captioner/1", []),
        ("/models/captioner", []),
        ("/models/captioner", [TRAINED]),
    ],
)
def test_a_captioner_whose_base_is_not_known_is_refused(captioner, trained):
    found = licence.materials([DISTILLED, ("write_captions", {"captioner": captioner}), PLAYED, *trained])
    with pytest.raises(ValueError, match=f"got base_model of captioner {captioner}; say"):
        licence.derive(found)


def test_every_soundfont_of_every_stage_counts():
    played = {"backend": "soundfont", "soundfont": "/x/Proprietary.sf2,/fonts/FluidR3_GM.sf2", "model": "none"}
    generated = {"backend": "musicgen", "soundfont": "embedded", "model": "facebook/musicgen-small"}
    designed = [("make_pairs", {"soundfont": "/x/Pairs.sf2"}), ("design_concepts", {"soundfont": "embedded"})]
    runs = [DISTILLED, WRITTEN, TRAINED, ("generate_audio", played), ("generate_audio", generated), *designed]
    found = licence.materials(runs)
    fonts = ["FluidR3_GM.sf2", "Pairs.sf2", "Proprietary.sf2"]
    assert found["audio"] == [*fonts, "embedded", "facebook/musicgen-small"]
    with pytest.raises(ValueError, match=r"got audio Pairs.sf2, audio Proprietary.sf2; say"):
        licence.derive(found)


@pytest.mark.parametrize(
    ("left_out", "got"),
    [
        (DISTILLED, "corpus unknown"),
        (WRITTEN, "base_model of captioner unknown"),
        (PLAYED, "audio unknown"),
    ],
)
def test_what_no_run_has_made_is_refused_until_a_licence_is_stated(left_out, got):
    runs = [DISTILLED, WRITTEN, TRAINED, PLAYED, ("make_pairs", {"soundfont": "embedded"})]
    assert licence.derive(licence.materials(runs))[0] == "cc-by-4.0"
    found = licence.materials([run for run in runs if run != left_out])
    with pytest.raises(ValueError, match=f"got {got}; say which .*, or name runs"):
        licence.derive(found)
    assert licence.derive(found, stated="cc0-1.0")[0] == "cc0-1.0"


def test_musiccaps_is_credited():
    assert any("2301.11325" in credit for credit in licence.derive({"corpus": ["google/MusicCaps"]})[1])


def test_an_unknown_material_is_refused_until_a_licence_is_stated():
    materials = {"corpus": ["my songs"], "audio": ["TimGM6mb.sf2"]}
    with pytest.raises(ValueError, match="known licence, got corpus my songs; say .* license="):
        licence.derive(materials)
    assert licence.derive(materials, stated="cc0-1.0")[0] == "cc0-1.0"


def test_a_melody_is_of_a_run_or_of_an_unknown_origin():
    played = {"backend": "musicgen", "model": "facebook/musicgen-melody"}
    of_run = licence.materials([DISTILLED, ("generate_audio", played | {"melody": "runs:/1/audio"}), PLAYED])
    assert of_run["audio"] == ["embedded", "facebook/musicgen-melody"]
    found = licence.materials([DISTILLED, ("generate_audio", played | {"melody": "hummed"})])
    assert found["audio"] == ["facebook/musicgen-melody", "unknown"]
