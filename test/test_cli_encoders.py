"""``ab_ros encoders``: every encoder is listed, and tells its source and its settings."""

from __future__ import annotations

import dataclasses
import re

import pytest

from ab_ros.cli import main
from ab_ros.codec.registry import ENCODERS


def test_every_encoder_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoders"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, encoder in ENCODERS.items():
        (line,) = (line for line in lines if line.split()[0] == name)
        assert line.endswith(f"({', '.join(encoder.kinds)})")


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_tells_all_its_settings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoders", name]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{name}: reads {ENCODERS[name].kinds[0]}")
    assert re.search(r"(19|20)\d\d", said), "its source has a year"
    assert ":`" not in said and "``" not in said
    for setting in dataclasses.fields(ENCODERS[name].settings_type):
        (row,) = re.findall(rf"^\| `{setting.name}` \|.*\|$", said, re.MULTILINE)
        assert row.count("|") == 6 and not row.endswith("|  |")


def test_an_encoder_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoders", "salience"]) == 2
    assert "unknown encoder 'salience'; one of: saliency, " in capsys.readouterr().err
