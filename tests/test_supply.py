"""What houndsight is made of: see tests/supply/check.py, which CI runs as a whole."""

import importlib.util
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture
def check(monkeypatch):
    place = Path(__file__).parent / "supply" / "check.py"
    specification = importlib.util.spec_from_file_location("supply_check", place)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    if not (HERE / "requirements.lock").exists():
        pytest.skip("the lock files are not there: this is no full checkout")
    return module


def test_every_locked_version_has_hashes(check):
    assert check.hashes() == []


def test_a_line_without_a_hash_is_told(check, tmp_path, monkeypatch):
    lock = (HERE / "requirements.lock").read_text(encoding="utf-8")
    for name in check.LOCKS:
        (tmp_path / name).write_text(lock)
    one = re.sub(r"(pillow==\S+)(?: \\\n    --hash=\S+)+", r"\1", lock)
    assert one != lock
    (tmp_path / "requirements.lock").write_text(one)
    monkeypatch.setattr(check, "HERE", tmp_path)
    assert check.hashes() == ["requirements.lock: pillow has no hash"]
    (tmp_path / "requirements.lock").write_text("pillow @ https://example.org/pillow.whl\n")
    with pytest.raises(SystemExit, match="cannot read 'pillow @"):
        check.hashes()


def test_every_licence_is_one_that_may_be_depended_on(check):
    assert check.licences() == []


def test_another_licence_is_told(check, monkeypatch):
    monkeypatch.setattr(check, "ALLOWED", check.ALLOWED - {"MIT-CMU"})
    assert check.licences() == ["pillow: its licence is MIT-CMU"]


def test_a_tool_that_became_a_requirement_is_told(check, monkeypatch):
    monkeypatch.setattr(check, "TOOLS_ONLY", {"pillow"})
    assert check.licences() == ["pillow is a tool, and is required"]


def test_the_wheel_is_reproducible(check):
    pytest.importorskip("hatchling")
    assert check.reproducible() == []


def test_an_advisory_service_that_does_not_answer_is_told(check, monkeypatch):
    """pip-audit then lists every package as one that it could not find."""
    monkeypatch.setattr(check, "find_spec", lambda name: True)

    def ran(said):
        def run(*_, **__):
            return type("Ran", (), {"stdout": said})

        monkeypatch.setattr(check.subprocess, "run", run)
        return check.vulnerable()

    assert ran("no JSON") == "no advisory service answers"
    assert ran('{"dependencies": [{"name": "a", "skip_reason": "x"}]}') == (
        "no advisory service answers"
    )
    found = '{"dependencies": [{"name": "a", "vulns": [{"id": "CVE-1"}]}, {"name": "b"}]}'
    assert ran(found) == ["a: CVE-1", "b is not known there"]
