"""Encoders of other distributions: found by entry point, and blamed by name when they fail."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ab_ros.cli import main
from ab_ros.codec.registry import make_encoder
from ab_ros.errors import ConfigError
from ab_ros.values import Observation

GOOD = """
from dataclasses import dataclass

import numpy as np

from ab_ros.codec.encoder import Encoder
from ab_ros.config import setting


@dataclass(frozen=True)
class Settings:
    hairs: int = setting(4, doc="Hairs.", ge=0, le=100)


class Whisker(Encoder):
    settings_type = Settings
    kinds = ("Touch", "Vector")

    def __init__(self, settings, seed=0):
        self.settings = settings
        self.size = settings.hairs

    def encode(self, observation, timesteps, dt):
        return np.full((timesteps, self.size), observation is not None, np.uint8)

    def reset(self, seed):
        pass
"""

Install = Callable[..., None]
_numbers = itertools.count()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay a distribution on the path: its metadata, its entry points and its one module."""
    monkeypatch.syspath_prepend(tmp_path)

    def lay(code: str, entries: dict[str, str], name: str = "whiskers") -> None:
        module = f"plugin_under_test_{next(_numbers)}"
        (tmp_path / f"{module}.py").write_text(code)
        folder = tmp_path / f"{name}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = [f"{key} = {value.replace('MODULE', module)}" for key, value in entries.items()]
        (folder / "entry_points.txt").write_text("\n".join(["[ab_ros.encoders]", *lines, ""]))
        monkeypatch.setitem(sys.modules, module, None)  # Is put back, so the test leaves no trace.
        del sys.modules[module]

    return lay


def refusal(name: str, options: dict[str, Any] | None = None, kind: str = "") -> str:
    with pytest.raises(ConfigError) as error:
        make_encoder(name, options or {}, kind=kind, path=("inputs", "nose"))
    said = str(error.value)
    assert said.startswith("inputs.nose.") and "\n" not in said
    return said


def test_a_plugin_is_chosen_by_name_with_its_settings(install: Install) -> None:
    install(GOOD, {"whisker": "MODULE:Whisker"})
    encoder = make_encoder("whisker", {"hairs": 7}, kind="Touch")
    assert encoder.size == 7
    touched = Observation("nose", "Touch", 0.0, "float64", np.zeros(7))
    assert encoder.encode(touched, 5, 0.001).all()
    assert "'whisker' reads Touch or Vector, not 'Image'" in refusal("whisker", kind="Image")
    assert "options.hairs: 101 is not allowed" in refusal("whisker", {"hairs": 101})
    assert "unknown key; did you mean 'hairs'?" in refusal("whisker", {"hair": 1})
    assert refusal("whiskers").endswith(", nef, whisker")


def test_a_plugin_is_not_imported_before_it_is_asked_for(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("raise SystemError('imported')", {"bad": "MODULE:Bad"})
    assert make_encoder("rate", {}).size == 1
    assert "bad" in refusal("good")
    assert main(["encoders"]) == 0
    assert "\nbad               of whiskers 1.2 (plugin_under" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "entry", "says"),
    [
        ("import nothing_of_that_name", "MODULE:Bad", "ModuleNotFoundError: No module named"),
        ("def (", "MODULE:Bad", "SyntaxError: "),
        ("", "MODULE:Bad", "AttributeError: "),
        ("", "no_such_module:Bad", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("Bad = 5", "MODULE:Bad", "it is no subclass of ab_ros.codec.encoder.Encoder"),
        (GOOD + "    settings_type = 3", "MODULE:Whisker", "its settings_type is no dataclass"),
        (GOOD + "    kinds = 'Touch'", "MODULE:Whisker", "its kinds are no tuple of names"),
        (GOOD.replace("def encode", "def _"), "MODULE:Whisker", "it lacks encode"),
        (GOOD.replace("self.size =", "1 / 0 #"), "MODULE:Whisker", "cannot be made: ZeroDivisionE"),
        (GOOD.replace("4, doc", "0, doc"), "MODULE:Whisker", "size must be an integer of at least"),
    ],
)
def test_a_broken_plugin_is_blamed_by_its_distribution(
    install: Install, code: str, entry: str, says: str
) -> None:
    install(code, {"bad": entry})
    said = refusal("bad")
    assert says in said
    assert "encoder 'bad' of whiskers 1.2 (" in said


def test_two_distributions_cannot_bring_one_name(install: Install) -> None:
    install(GOOD, {"whisker": "MODULE:Whisker"})
    install(GOOD, {"whisker": "MODULE:Whisker"}, name="feelers")
    said = refusal("whisker")
    assert "whiskers 1.2 (" in said and "feelers 1.2 (" in said and "only one of them" in said


def test_a_plugin_cannot_take_a_name_of_ours(install: Install) -> None:
    install(GOOD, {"rate": "MODULE:Whisker"})
    assert make_encoder("rate", {"max_rate": 50.0}).size == 1
