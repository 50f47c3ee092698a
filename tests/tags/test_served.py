"""The registered VAE, as it is served."""

import json

import pandas as pd
import pytest

from conceptcaps.tags import served, vae
from tests.tags.test_vae import fit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "vae"
    vae.save(fit(epochs=60), path)
    return path


def test_answers_are_text(folder):
    model = served.load(folder)
    answers = served.predict(model, served.REGISTERED["example"])["tags"].tolist()
    assert {"jazz", "piano"} <= set(answers[0].split(", ")) and answers[1]
    many = pd.DataFrame({"condition": ["", "Jazz"] * 100, "seed": 3})
    answers = served.predict(model, many)["tags"]
    assert len(set(answers[::2])) == 100, "rows that ask for the same get different sets"
    assert all("jazz" in answer.split(", ") for answer in answers[1::2])
    assert answers.tolist() == served.predict(model, many)["tags"].tolist()


def test_the_dials_are_those_of_its_folder(folder):
    """A model that was registered with other dials goes on with them."""
    asked = pd.DataFrame({"condition": [""] * 8, "seed": 0})
    before = served.predict(served.load(folder), asked)
    file = folder / vae.DRAWING_FILE
    assert json.loads(file.read_text()) == vae.DRAWING
    file.write_text(json.dumps({"prior": "random", "temperature": 1.0}))
    assert served.predict(served.load(folder), asked)["tags"].tolist() != before["tags"].tolist()
