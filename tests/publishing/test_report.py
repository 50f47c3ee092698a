import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conceptcaps.publishing import dataset, examples, report
from tests.publishing.test_dataset import TAXONOMY, table

OUT = {
    "left_out": {"train_verifier": "expected 12 clips of a tag, got 1"},
    "decisions": {"conceptcaps-vae": "promoted", "conceptcaps-captioner": "the champion is better"},
}


def flac(seed: int) -> bytes:
    sound = np.random.default_rng(seed).normal(0, 0.05, 64_000) + 0.3 * np.sin(np.arange(64_000) * 0.1 * (seed + 1))
    target = io.BytesIO()
    soundfile.write(target, sound, 32_000, format="FLAC")
    return target.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A dataset of 300 rows, 30 of them in the test split and audible."""
    path = tmp_path_factory.mktemp("dataset")
    captions, clips, verdicts = table(300)
    for batch in clips:
        for place, row in batch.iterrows():
            row["audio"]["bytes"] = flac(place)
    dataset.write_rows(path, captions, clips, verdicts, taxonomy=TAXONOMY, seed=0)
    return path


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory) -> Path:
    rows = [examples.describe(row) for row in examples.choose(folder, split="test", most=4)]
    stage = report.Stage(
        "train_vae", "ab12", 3.0, {"beta": "0.5"}, {"val/iwae": -21.8, "val/elbo": -23.0}, [], "Registered."
    )
    figures = [
        {"label": "first", "value": "10.0", "best": "↑", "run": "ab12cd34ef"},
        {"label": "second <b>", "value": "9.0 [8.0, 9.5]", "best": "↓", "run": "ab12cd34ef"},
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(
        report.render(
            title="Test",
            facts={"models": ", ".join(f"conceptcaps-vae/{one}" for one in range(9))},
            figures=figures,
            stages=[stage],
            rows=rows,
            **OUT,
        )
    )
    return path


def test_rows_are_spread_over_the_split(folder):
    ids = [row["id"] for row in examples.choose(folder, split="test", most=4)]
    assert len(set(ids)) == 4 and all(int(name.split("-")[1]) % 10 == 9 for name in ids)
    assert len(list(examples.choose(folder, split="test", most=1000))) == 29, "one of 30 could not be made"
    assert not list(examples.choose(folder, split="no such", most=4))


def test_a_row_shows_its_three_witnesses(folder):
    row = next(row for row in examples.choose(folder, split="test", most=1000) if row["contradictions"])
    row = {**row, "hallucinated": ["drums"], "missed": [row["aspect_list"][1]]}
    shown = examples.describe(row)
    by_tag = {tag["tag"]: tag for tag in shown["tags"]}
    first, second = row["aspect_list"][:2]
    assert by_tag[first] == {"tag": first, "asked": True, "score": "sounds", "ear": "absent", "text": "named"}
    assert by_tag[second]["text"] == "–" and by_tag["drums"] == {**by_tag["drums"], "asked": False, "text": "named"}
    assert shown["facts"] == "120 BPM, C, major, 4 beats in a bar"
    assert base64.b64decode(shown["player"])[:4] == b"fLaC" and base64.b64decode(shown["picture"])[1:4] == b"PNG"


def test_a_caption_names_no_tag_that_it_was_not_to_say():
    captions, clips, _ = table(2)
    clip = clips[0].iloc[0].to_dict()
    clip["audio"]["bytes"] = flac(0)
    caption = captions.iloc[0].to_dict() | {"tags": ["piano", "drums", "catchy"], "asked": ["piano", "catchy", "jazz"]}
    caption |= {"missed": ["catchy"], "hallucinated": ["flute"]}
    shown = examples.describe(dataset.row(caption, clip, {}, taxonomy=TAXONOMY))
    said = {tag["tag"]: tag["text"] for tag in shown["tags"]}
    assert said["piano"] == said["jazz"] == said["flute"] == "named" and said["drums"] == said["catchy"] == "–"
    assert "asked" in dataset.TEXT


def test_the_page_needs_no_other_file_and_escapes_text(page):
    text = page.read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert all(part in text for told in OUT.values() for part in (*told, *told.values()))
    assert "second &lt;b&gt;" in text and text.count("<audio") == 4


def test_two_pipelines_stand_side_by_side():
    ours = {"train_vae": {"val/iwae": -20.0}, "build_dataset": {"dataset/verified": 50.0}}
    theirs = {"train_vae": {"val/iwae": -30.0}, "train_verifier": {"val/detectors": 9.0}}
    both = [report.key_figures(each, runs=dict.fromkeys(each, name)) for name, each in {"x": ours, "y": theirs}.items()]
    found = {figure["label"]: figure for figure in report.beside(*both)}
    bound = found["VAE bound on validation rows (nats)"]
    assert bound["value"] == "-20.00" and bound["other"] == "-30.00" and bound["other_run"] == "y"
    assert found["detectors of tags"]["value"] == found["rows of the dataset that are verified"]["other"] == "–"
    page = report.render(title="T", facts={}, figures=list(found.values()), stages=[], rows=[])
    assert "the other&#39;s" in page or "the other's" in page
    assert all(text in page for text in ("-30.00", "<td><code>y</code></td>"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromedriver") is None, reason="needs Debian's chromium-driver")
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_it_sorts_plays_and_cuts_nothing(page, browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    browser.get(page.as_uri())
    assert not browser.get_log("browser"), "no console error"
    assert browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth") <= 0
    cut = (
        "return [...document.querySelectorAll('.row .scroll')].filter(box => box.scrollWidth > box.clientWidth).length"
    )
    assert browser.execute_script(cut) == 0, "a row's table of witnesses is seen whole"
    for target in ("figures", "rows", "stages"):
        browser.execute_script("location.hash = arguments[0]", target)
        place = f"return document.getElementById('{target}').getBoundingClientRect().top"
        below = "return document.querySelector('nav').getBoundingClientRect().bottom"
        assert browser.execute_script(place) >= browser.execute_script(below), "no heading is under the list of links"
    names = "return [...document.querySelectorAll('tbody')[0].rows].map(row => row.cells[0].innerText)"
    browser.execute_script("document.querySelectorAll('th[data-sort]')[1].click()")
    assert browser.execute_script(names) == ["second <b> ↓", "first ↑"]
    browser.execute_script("document.querySelectorAll('th[data-sort]')[1].click()")
    assert browser.execute_script(names) == ["first ↑", "second <b> ↓"]
    played = browser.execute_async_script(
        "const done = arguments[0], player = document.querySelector('audio');"
        "player.ontimeupdate = () => player.currentTime > 0.1 && done([player.currentTime, player.duration]);"
        "player.onerror = () => done(null); player.play().catch(error => done(String(error)))"
    )
    assert 0.1 < played[0] <= played[1] == 2
