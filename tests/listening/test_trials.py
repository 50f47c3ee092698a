"""The listening test: balanced and blind, answered by keyboard in a browser, its answers read back."""

import base64
import io
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from conceptcaps.listening import ratings, trials
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Clips of which every second has piano, every third drums."""
    found = []
    for number in range(24):
        has = {"piano": number % 2 == 0, "drums": number % 3 == 0, "violin": number == 0}
        present, absent = ([tag for tag, own in has.items() if own == side] for side in (True, False))
        found.append({"id": f"clip-{number}", "present": present, "absent": absent})
    return pd.DataFrame(found)


@pytest.fixture(scope="module")
def chosen(rows) -> pd.DataFrame:
    return trials.choose(rows, tags="auto", count=16, taxonomy=TAXONOMY, seed=0)


def truth(rows: pd.DataFrame, row_id: str, tag: str) -> bool:
    if row_id in trials.CATCH:
        return trials.CATCH[row_id]
    return tag in rows.set_index("id").loc[row_id, "present"]


def test_trials_are_balanced_by_truth_repeated_out_of_sight_and_drawn_by_seed(rows, chosen):
    plain = chosen[~chosen["id"].isin(list(trials.CATCH))]
    asked = plain[~plain["repeat"]]
    assert len(asked) == 16 and set(asked["tag"]) == {"piano", "drums"} and not asked.duplicated(["id", "tag"]).any()
    has = [truth(rows, *pair) for pair in asked[["id", "tag"]].itertuples(index=False)]
    assert pd.Series(has).groupby(asked["tag"].to_numpy()).mean().tolist() == [0.5, 0.5]
    again = plain[plain["repeat"]]
    assert len(again) == 3
    for place, row in again.iterrows():
        first = asked[(asked["id"] == row["id"]) & (asked["tag"] == row["tag"])]
        assert len(first) == 1 and first.index[0] < place
    assert (len(chosen) - len(plain)) == trials.CATCHES
    same = trials.choose(rows, tags="auto", count=16, taxonomy=TAXONOMY, seed=0)
    other = trials.choose(rows, tags="auto", count=16, taxonomy=TAXONOMY, seed=1)
    assert same.equals(chosen) and not other.equals(chosen)


def test_refuses_tags_without_clips_enough(rows):
    with pytest.raises(ValueError, match="too few clips of violin"):
        trials.choose(rows, tags="piano,violin", count=8, taxonomy=TAXONOMY, seed=0)
    assert len(trials.choose(rows, tags="drums", count=1000, taxonomy=TAXONOMY, seed=0)) >= 16, "as many as there are"


@pytest.fixture(scope="module")
def page(chosen, tmp_path_factory):
    clips = {}
    for row_id in chosen["id"].unique():
        target = io.BytesIO()
        sound = 0.1 * np.random.default_rng(0).normal(size=(32_000, 2))
        soundfile.write(target, sound, 32_000, format="FLAC")
        clips[row_id] = target.getvalue()
    path = tmp_path_factory.mktemp("page") / "test.html"
    path.write_text(trials.page(chosen, clips, title="What do you <hear>?"))
    return path


def test_the_page_needs_no_other_file_and_does_not_tell(page):
    text = page.read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", text) and "What do you &lt;hear&gt;?" in text
    assert not re.search(r"truth|present|absent", text)


def listen(browser, page, chosen, name, answer, *, width=390) -> pd.DataFrame:
    """Go through the page by keyboard and give what it saves."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    browser.find_element(By.ID, "listener").send_keys(name, Keys.ENTER)
    body = browser.find_element(By.TAG_NAME, "body")
    for place, row in enumerate(chosen.itertuples()):
        assert browser.find_element(By.ID, "question").text == f"Do you hear: {row.tag}?"
        assert browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth") <= 0
        body.send_keys("y" if answer(row.id, row.tag) else "n")
        if place == 4:  # closing the page loses nothing, and one can go back
            browser.refresh()
            body = browser.find_element(By.TAG_NAME, "body")
            body.send_keys("b")
            body.send_keys("y" if answer(row.id, row.tag) else "n")
    assert browser.find_element(By.ID, "save").is_displayed()
    saved = browser.execute_async_script(
        "const done = arguments[0]; fetch(document.getElementById('save').href).then(a => a.text()).then(done)"
    )
    assert not browser.get_log("browser"), "no console error"
    return pd.read_csv(io.StringIO(saved))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromedriver") is None, reason="needs Debian's chromium-driver")
def test_who_answers_by_truth_agrees_and_who_guesses_is_caught(page, browser, rows, chosen, tmp_path):
    generator = np.random.default_rng(0)
    honest = listen(browser, page, chosen, 'Ada, "A"', lambda *trial: truth(rows, *trial))
    guessed = listen(browser, page, chosen, "Bob", lambda *_: generator.random() < 0.5, width=1200)
    honest.to_csv(tmp_path / "ada.csv", index=False)
    guessed.to_csv(tmp_path / "bob.csv", index=False)
    answers = ratings.read(tmp_path)
    assert answers.groupby("listener").size().tolist() == [len(chosen)] * 2
    frame = chosen.drop_duplicates(["id", "tag"]).assign(verdict="uncertain")
    metrics, table = ratings.agreement(answers, rows, frame, seed=0)
    assert metrics["ratings/kappa_truth"] == metrics["ratings/accuracy"] == metrics["ratings/kappa_repeat"] == 1
    assert metrics["ratings/listeners"] == 2 and metrics["ratings/caught"] == 1
    assert set(table.loc[~table["kept"], "listener"]) == {"Bob"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromedriver") is None, reason="needs Debian's chromium-driver")
def test_a_clip_plays(page, browser):
    browser.get(page.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    browser.find_element(By.ID, "listener").send_keys("Ada", Keys.ENTER)
    browser.find_element(By.TAG_NAME, "body").send_keys(" ")
    played = browser.execute_async_script(
        "const done = arguments[0], player = document.querySelector('audio');"
        "player.ontimeupdate = () => player.currentTime > 0.1 && done([player.currentTime, player.duration]);"
        "player.onerror = () => done(null)"
    )
    assert 0.1 < played[0] <= played[1] <= 3.1


def test_sound_on_the_page_is_mono_and_the_whole_clip():
    target = io.BytesIO()
    time = np.arange(15 * 16_000) / 16_000
    soundfile.write(target, 0.3 * np.sin(2 * np.pi * 440 * time), 16_000, format="FLAC")
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(trials._sound(target.getvalue()))))
    assert rate == 16_000 and sound.shape == (15 * 16_000,)
    assert np.abs(np.fft.rfft(sound)).argmax() == pytest.approx(6600, abs=2)
