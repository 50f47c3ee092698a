import pytest

from conceptcaps import diagnosis, tracking
from conceptcaps.errors import Failure
from conceptcaps.workspace import assets
from conceptcaps.workspace.hashing import file_sha256
from entrypoints import doctor


@pytest.fixture
def toy_asset(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCEPTCAPS_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "cache" / "packages" / "toy==1" / "toy" / "weights"
    file.parent.mkdir(parents=True)
    file.write_text("weights")
    asset = assets.Asset(package="toy==1", path="toy", sha256={"weights": file_sha256(file)})
    monkeypatch.setattr(assets, "ASSETS", {"toy": asset})
    return file


def states() -> dict[str, str]:
    return {check.what: check.state for check in diagnosis.checks()}


def test_an_asset_is_there_missing_or_broken(toy_asset):
    assert states()["asset toy"] == "ok"
    toy_asset.write_text("changed")
    assert states()["asset toy"] == "broken"
    toy_asset.unlink()
    assert states()["asset toy"] == "missing"


def test_packages_are_held_against_the_lock(toy_asset, monkeypatch):
    version = diagnosis._version
    monkeypatch.setattr(diagnosis, "_version", lambda name: "0.0" if name == "numpy" else version(name))
    found = next(check for check in diagnosis.checks() if check.what == "packages")
    assert found.state == "broken" and "numpy 0.0 for" in found.found


def test_the_doctor_says_what_to_mend_and_fails(store, toy_asset, monkeypatch, capsys):
    monkeypatch.setattr(diagnosis, "_packages", lambda: diagnosis.Check("packages", "ok", "as locked"))
    doctor.main([])
    assert tracking.metrics(tracking.latest("doctor"))["checks/broken"] == 0
    toy_asset.write_text("changed")
    with pytest.raises(Failure, match="to mend: asset toy"):
        doctor.main([])
    assert "broken   asset toy            incomplete or changed  -> rm -r" in capsys.readouterr().out


def test_a_store_that_does_not_answer_is_broken_and_the_rest_is_still_looked_at(toy_asset, monkeypatch, capsys):
    def down() -> str:
        raise ConnectionError("http://me:***@host: refused")

    monkeypatch.setattr(tracking, "state", down)
    with pytest.raises(Failure, match="to mend: tracking store"):
        doctor.main([])
    said = capsys.readouterr().out
    assert "broken   tracking store       http://me:***@host: refused  -> make server" in said and "python" in said
