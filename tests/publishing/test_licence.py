import pytest

from conceptcaps.publishing import licence


@pytest.mark.parametrize(
    ("materials", "expected"),
    [
        ({"corpus": "demo", "base_model": "smollm2", "audio": "TimGM6mb.sf2"}, "cc-by-4.0"),
        ({"corpus": "google/MusicCaps", "base_model": "smollm2", "audio": "FluidR3_GM.sf2"}, "cc-by-sa-4.0"),
        ({"corpus": "demo", "audio": "facebook/musicgen-small"}, "cc-by-nc-4.0"),
        ({"corpus": "google/MusicCaps", "audio": "facebook/musicgen-large"}, "other"),
        ({"corpus": "google/MusicCaps", "base_model": "meta-llama/Llama-3.1-8B-Instruct"}, "other"),
    ],
)
def test_follows_from_what_went_in(materials, expected):
    found, credits = licence.derive(materials)
    assert found == expected and len(credits) == len(materials)


def test_materials_are_named_by_file_or_hub_id():
    params = {
        "distill_tags": {"corpus": "/data/musiccaps.csv"},
        "finetune_captioner": {"base_model": "meta-llama/Llama-3.1-8B-Instruct@abc"},
        "generate_audio": {"backend": "soundfont", "soundfont": "/fonts/FluidR3_GM.sf2", "model": "none"},
    }
    base = "meta-llama/Llama-3.1-8B-Instruct"
    found = licence.materials(params)
    assert found == {"corpus": "musiccaps.csv", "base_model": base, "audio": "FluidR3_GM.sf2"}
    assert licence.derive(found)[0] == "other"


def test_musiccaps_is_credited():
    assert any("2301.11325" in credit for credit in licence.derive({"corpus": "google/MusicCaps"})[1])


def test_an_unknown_material_is_refused_until_a_licence_is_stated():
    materials = {"corpus": "my songs", "audio": "TimGM6mb.sf2"}
    with pytest.raises(ValueError, match="known licence, got corpus my songs; say .* license="):
        licence.derive(materials)
    assert licence.derive(materials, stated="cc0-1.0")[0] == "cc0-1.0"
