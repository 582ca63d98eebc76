"""What projects have learned stays apart, in files whose names no id can break out of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_rig import brain_file

from ab_ros.errors import BrainFileError, ConfigError
from ab_ros.server.store import BrainStore

IDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=128)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BrainStore:
    folder = tmp_path_factory.mktemp("store")
    return BrainStore(brain_file(folder), folder / "served")


@given(one=IDS, other=IDS)
def test_every_id_has_a_file_of_its_own_in_the_folder(
    store: BrainStore, one: str, other: str
) -> None:
    path = store.path(one)
    assert path.parent.name == "served" and path.resolve().parent == path.parent.resolve()
    assert not path.name.startswith(".") and len(path.name.encode()) <= 255
    assert (store.path(other) == path) == (one == other)


@pytest.mark.parametrize("id", ["..", ".", "../../etc/passwd", "a/b", "a\0b", "C:\\x", ".lock"])
def test_ids_that_look_like_paths_are_only_names(store: BrainStore, id: str) -> None:
    brain = store.load(id)
    brain.save(store.path(id))
    assert store.path(id).is_file()


def test_a_project_begins_with_the_served_brain_and_keeps_what_it_learns(tmp_path: Path) -> None:
    file = brain_file(tmp_path)
    before = file.read_bytes()
    store = BrainStore(file, tmp_path / "served")
    brain = store.load("p")
    first = brain.network.weights("see").copy()
    brain.network.set_weights("see", np.where(np.isnan(first), np.nan, 4.0))
    brain.set_learning(False)
    brain.save(store.path("p"))
    again = store.load("p")
    assert np.nanmin(again.network.weights("see")) == 4.0
    assert again.learning
    for fresh in (store.load("p", fresh=True), store.load("q")):
        assert np.array_equal(fresh.network.weights("see"), first)
    assert file.read_bytes() == before


def test_a_brain_that_is_wired_otherwise_is_not_taken_for_the_served_one(tmp_path: Path) -> None:
    store = BrainStore(brain_file(tmp_path), tmp_path / "served")
    store.load("p")
    store.close()
    other = BrainStore(brain_file(tmp_path, "other.db", gamma=20), tmp_path / "served")
    with pytest.raises(ConfigError, match=r"wired otherwise.*move p\.db away.*fresh: true"):
        other.load("p")
    assert other.load("p", fresh=True).contract.gamma == 20
    other.close()


def test_two_servers_do_not_save_into_one_folder(tmp_path: Path) -> None:
    store = BrainStore(brain_file(tmp_path), tmp_path / "served")
    with pytest.raises(ConfigError, match="another server saves its brains there"):
        BrainStore(tmp_path / "brain.db", tmp_path / "served")
    store.close()
    BrainStore(tmp_path / "brain.db", tmp_path / "served").close()


def test_a_brain_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BrainFileError, match="no such brain file"):
        BrainStore(tmp_path / "none.db", tmp_path / "served")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        BrainStore(brain_file(tmp_path), tmp_path / "file")
