"""The runs behind an artifact, and which of several runs of a stage made it."""

from conceptcaps import tracking


def done(name: str, **params: object) -> str:
    """A finished run, as the URI of what it made."""
    with tracking.run(name, params) as run_id:
        return f"runs:/{run_id}/out"


def id_of(uri: str) -> str:
    return uri.split("/")[1]


def test_the_nearest_run_of_a_stage_bears_its_name_though_another_began_first(store):
    other = done("sample_tags", seed=1)
    concepts = done("design_concepts", contexts=other)
    samples = done("sample_tags", seed=0)
    captions = done("write_captions", samples=samples)
    audio = done("generate_audio", captions=captions, backend="soundfont")
    found = tracking.ancestors([captions, audio, concepts])
    assert found == {
        f"sample_tags {id_of(other)[:8]}": id_of(other),
        "design_concepts": id_of(concepts),
        "sample_tags": id_of(samples),
        "write_captions": id_of(captions),
        "generate_audio": id_of(audio),
    }
    behind = [samples, other, concepts, captions, audio]
    assert list(found.values()) == [id_of(uri) for uri in behind], "each behind those whose results it took"


def test_rows_come_from_the_nearest_run_of_each_stage(store):
    first = done("sample_tags", seed=1, vae="models:/v@old")
    samples = done("sample_tags", seed=0, vae="none", apart_from=first)
    captions = done("write_captions", samples=samples, captioner="c")
    found = tracking.origin([captions])
    assert found["latent_seed"] == 0 and found["captioner"] == "c" and "backend" not in found
    assert [one["run"] for one in found["runs"]] == [id_of(uri) for uri in (first, samples, captions)]


def test_every_part_of_a_list_is_an_input(store):
    fonts = [done("design_concepts", soundfont=font) for font in "ab"]
    verifier = done("train_verifier", concepts=",".join(fonts))
    assert set(tracking.ancestors([verifier]).values()) == {id_of(uri) for uri in (*fonts, verifier)}
    assert set(tracking.ancestors([",".join(fonts)]).values()) == {id_of(uri) for uri in fonts}


def test_folders_words_and_aliases_are_passed_over(store):
    assert tracking.ancestors(["none", "/some/folder", "models:/conceptcaps-vae@champion"]) == {}
