"""A policy folder: what a sync writes and never overwrites, and how its policies are loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, ContractError, PolicyError
from ab_ros.learning.policies import load_folder, load_policies
from ab_ros.learning.scaffold import contract_complaints, read_contract, sync_policies

CONTRACT = Contract.from_dict(
    {
        "constants": {"gamma": 4, "feedbackT": 8},
        "io": {
            "inputs": [{"id": "camera", "kind": "Image"}],
            "outputs": [{"id": "pan", "n": 4}],
            "feedback": [{"id": "fbP1", "n": 10, "fromOutput": "pan"}, {"id": "fb2", "n": 5}],
            "stdp3": {"layers": ["pan", "tilt"]},
        },
    }
)
OTHER = Contract.from_dict({"constants": {"gamma": 5}, "io": {"outputs": [{"id": "pan", "n": 8}]}})
MACHINES = ("_contract.json", "_contract.py", "_contract.sha256")
USERS = ("reward_policy.py", "error_deviation_policy.py")

# The document's own examples, as a user would copy them.
REWARD_EXAMPLE = """\
from policies._contract import STDP3_LAYERS

def compute_reward(summary, *, stdp_layers=STDP3_LAYERS):
    global_reward = 0.5
    by_layer = {layer_id: global_reward for layer_id in stdp_layers}
    return global_reward, by_layer
"""
DEVIATION_EXAMPLE = """\
from policies._contract import FEEDBACK_IDS

def compute_deviation(feedback_id, *, T, ctx=None):
    if feedback_id == "fbP1":
        return [0.0] * T
    return [0.0] * T
"""
SUMMARY: dict[str, Any] = {"executed": True, "target": {"before": None, "after": None}}


def executed(path: Path) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    return names


def test_a_sync_makes_the_five_files(tmp_path: Path) -> None:
    report = sync_policies(CONTRACT, tmp_path / "deep" / "policies")
    assert report.written == (*MACHINES, *USERS) and report.kept == ()
    assert not report.changed and report.earlier == ""
    assert sorted(os.listdir(report.folder)) == sorted((*MACHINES, *USERS))
    assert (report.folder / "_contract.sha256").read_text() == f"{CONTRACT.sha256}\n"
    assert read_contract(report.folder) == CONTRACT
    assert (report.folder / "_contract.py").stat().st_mode & 0o444
    names = executed(report.folder / "_contract.py")
    assert names["STDP3_LAYERS"] == ("pan", "tilt")
    assert names["FEEDBACK_IDS"] == ("fbP1", "fb2")
    assert names["INPUT_IDS"] == ("camera",) and names["OUTPUT_IDS"] == ("pan",)
    assert names["CONSTANTS"] == dict(CONTRACT.constants)
    assert (names["GAMMA"], names["FEEDBACK_T"], names["FEEDBACK_WINDOW_T"]) == (4, 8, 8)
    assert names["OUTPUT_SIZES"] == {"pan": 4} and names["SHA256"] == CONTRACT.sha256


@pytest.mark.parametrize("existing", ["text", "empty", "link", "folder"])
def test_a_sync_never_touches_what_stands_where_a_policy_would(
    tmp_path: Path, existing: str
) -> None:
    for name in USERS:
        path = tmp_path / name
        if existing == "link":
            path.symlink_to(tmp_path / "nowhere" / name)
        elif existing == "folder":
            path.mkdir()
        else:
            path.write_text("mine" if existing == "text" else "")
    report = sync_policies(CONTRACT, tmp_path)
    assert report.written == MACHINES and report.kept == USERS
    for name in USERS:
        path = tmp_path / name
        if existing == "link":
            assert path.is_symlink() and not path.exists()
        elif existing == "folder":
            assert path.is_dir()
        else:
            assert path.read_text() == ("mine" if existing == "text" else "")


def test_a_sync_says_what_changed(tmp_path: Path) -> None:
    sync_policies(CONTRACT, tmp_path)
    assert not sync_policies(CONTRACT, tmp_path).changed
    report = sync_policies(OTHER, tmp_path)
    assert report.changed and report.earlier == CONTRACT.sha256 and report.digest == OTHER.sha256
    assert "output 'pan': n was 4, is 8" in report.changes
    assert "STDP3 layer 'tilt' was removed" in report.changes
    assert report.kept == USERS and read_contract(tmp_path) == OTHER


def test_a_broken_earlier_contract_is_said_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "_contract.json").write_text("{")
    (change,) = sync_policies(CONTRACT, tmp_path).changes
    assert change.startswith("the earlier contract cannot be read: ") and "is not JSON" in change
    assert read_contract(tmp_path) == CONTRACT


def test_two_syncs_at_once_leave_whole_files(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)
    reports = []

    def sync() -> None:
        barrier.wait()
        reports.append(sync_policies(CONTRACT, tmp_path))

    threads = [threading.Thread(target=sync) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_contract(tmp_path) == CONTRACT
    assert sorted(name for report in reports for name in report.written if name in USERS) == sorted(
        USERS
    )
    assert sorted(os.listdir(tmp_path)) == sorted((*MACHINES, *USERS))


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"policy folder .*file: cannot be written"):
        sync_policies(CONTRACT, tmp_path / "file")


@given(st.lists(st.text(min_size=1), unique=True, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_id_of_a_server_becomes_code(tmp_path: Path, ids: list[str]) -> None:
    evil = ["'''", '"\n)\nimport os', "\\", "'); x = 1 #", "\u2028\u202e"]
    names = list(dict.fromkeys((*ids, *evil)))
    items = [{"id": name} for name in names]
    contract = Contract.from_dict(
        {"io": {"inputs": items, "outputs": items, "feedback": items, "stdp3": {"layers": names}}}
    )
    sync_policies(contract, tmp_path)
    found = executed(tmp_path / "_contract.py")
    for key in ("INPUT_IDS", "OUTPUT_IDS", "FEEDBACK_IDS", "STDP3_LAYERS"):
        assert found[key] == tuple(names)
    assert read_contract(tmp_path).sha256 == contract.sha256


def test_the_templates_work_as_they_are(tmp_path: Path) -> None:
    sync_policies(CONTRACT, tmp_path)
    policies = load_folder(tmp_path)
    reward = policies.reward(SUMMARY, CONTRACT.stdp3_layers)
    assert reward is not None and reward.overall == 0.5
    assert reward.by_layer == {"pan": 0.5, "tilt": 0.5}
    closer = {"before": {"error": 0.3}, "after": {"error": 0.265}}
    reward = policies.reward({**SUMMARY, "target": closer}, CONTRACT.stdp3_layers)
    assert reward is not None and reward.overall == pytest.approx(0.75)
    deviation = policies.deviation("fbP1", 8, SUMMARY)
    assert deviation is not None and deviation.values.tolist() == [0.0] * 8


def test_the_template_of_deviations_has_a_duty_cycle_of_the_error(tmp_path: Path) -> None:
    sync_policies(CONTRACT, tmp_path)
    file = tmp_path / "error_deviation_policy.py"
    file.write_text(file.read_text().replace("RULES = {}", "RULES = {'fb2': ('azimuth', -1.0)}"))
    context = {"target": {"before": None, "after": {"azimuth": -0.085}}}
    deviation = load_folder(tmp_path).deviation("fb2", 8, context)
    assert deviation is not None and int((deviation.values > 0).sum()) == 4
    file.write_text(file.read_text().replace("'fb2'", "'fb3'"))
    with pytest.raises(PolicyError, match=r"import failed: ValueError: RULES has \['fb3'\]"):
        load_folder(tmp_path)


@pytest.mark.parametrize("name", ["policies", "of_my_robot", "json", "not-a-name"])
@pytest.mark.parametrize("style", ["policies._contract", "_contract", "._contract"])
def test_the_documents_examples_work_in_any_folder(tmp_path: Path, name: str, style: str) -> None:
    folder = tmp_path / name
    sync_policies(CONTRACT, folder)
    for file, text in zip(USERS, (REWARD_EXAMPLE, DEVIATION_EXAMPLE), strict=True):
        (folder / file).write_text(text.replace("policies._contract", style))
    before = set(sys.modules)
    policies = load_folder(folder)
    reward = policies.reward(SUMMARY, CONTRACT.stdp3_layers)
    assert reward is not None and reward.by_layer == {"pan": 0.5, "tilt": 0.5}
    assert policies.deviation("fbP1", 8, SUMMARY) is not None
    assert not {"policies", "_contract", "policies._contract"} & (set(sys.modules) - before)


def test_the_documents_examples_work_for_python_alone(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    sync_policies(CONTRACT, folder)
    program = (
        "from policies.reward_policy import compute_reward\n"
        "from policies.error_deviation_policy import compute_deviation\n"
        "from policies._contract import GAMMA\n"
        "print(compute_reward({})[1], compute_deviation('fbP1', T=2), GAMMA)\n"
    )
    for _ in ("templates", "examples"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout == "{'pan': 0.5, 'tilt': 0.5} [0.0, 0.0] 4\n"
        (folder / USERS[0]).write_text(REWARD_EXAMPLE)
        (folder / USERS[1]).write_text(DEVIATION_EXAMPLE)


def test_two_folders_in_one_process_do_not_mix(tmp_path: Path) -> None:
    loaded = []
    for number, contract in enumerate((CONTRACT, OTHER)):
        folder = tmp_path / str(number) / "policies"
        sync_policies(contract, folder)
        (folder / "mine.py").write_text(f"NUMBER = {number}\n")
        # An import when the function is called finds its own folder, too.
        (folder / "reward_policy.py").write_text(
            "def compute_reward(summary, *, stdp_layers):\n"
            "    from policies import mine\n"
            "    import mine as again, policies.mine\n"
            "    from _contract import GAMMA\n"
            "    assert mine is again is policies.mine\n"
            "    return (mine.NUMBER + GAMMA) / 10, {}\n"
        )
        loaded.append(load_folder(folder))
    for policies, expected in zip(loaded * 2, (0.4, 0.6) * 2, strict=True):
        reward = policies.reward(SUMMARY, ())
        assert reward is not None and reward.overall == expected


def test_a_folder_is_read_anew_though_its_files_look_the_same(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("REWARD = 0.1\n")
    (tmp_path / "reward_policy.py").write_text(
        "import mine\ndef compute_reward(summary, *, stdp_layers):\n    return mine.REWARD, {}\n"
    )
    stamp = (tmp_path / "mine.py").stat()
    for value in ("0.1", "0.2"):
        (tmp_path / "mine.py").write_text(f"REWARD = {value}\n")
        os.utime(tmp_path / "mine.py", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        reward = load_folder(tmp_path).reward(SUMMARY, ())
        assert reward is not None and reward.overall == float(value)


def test_a_folder_that_is_no_longer_used_is_forgotten(tmp_path: Path) -> None:
    sync_policies(CONTRACT, tmp_path)
    before = set(sys.modules)
    policies = load_folder(tmp_path)
    assert len(set(sys.modules) - before) == 4  # the package, both policies and the contract
    policies.reward(SUMMARY, ())
    del policies
    assert set(sys.modules) <= before


def test_a_module_is_read_again_only_when_asked_and_stays_if_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "rewards_of_a_test"
    file = tmp_path / f"{name}.py"
    text = "def compute_reward(summary, *, stdp_layers):\n    return {}, {{}}\n"

    def overall(again: bool) -> float:
        reward = load_policies(name, "", again=again).reward(SUMMARY, ())
        assert reward is not None
        return reward.overall

    try:
        file.write_text(text.format("0.1"))
        assert overall(again=True) == 0.1
        file.write_text(text.format("0.2"))
        assert overall(again=False) == 0.1 and overall(again=True) == 0.2
        file.write_text("1 / 0\n")
        with pytest.raises(PolicyError, match="cannot be imported: ZeroDivisionError"):
            load_policies(name, "", again=True)
        assert overall(again=False) == 0.2
    finally:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\ndef f(:\n", "reward_policy.py:2: import failed: SyntaxError"),
        ("\n\nimport no_such_module_at_all\n", "reward_policy.py:3: import failed: ModuleNotFound"),
        ("import sys\nsys.exit(3)\n", "reward_policy.py:2: import failed: SystemExit: 3"),
        ("compute_reward = 1\n", "reward_policy.py: has no function compute_reward()"),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_where(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "reward_policy.py").write_text(text)
    before = set(sys.modules)
    with pytest.raises(PolicyError) as error:
        load_folder(tmp_path)
    assert says in str(error.value)
    del error
    assert not {name for name in set(sys.modules) - before if "policies" in name}


def test_a_folder_without_policies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"has neither reward_policy\.py nor"):
        load_folder(tmp_path)
    with pytest.raises(PolicyError, match="there is no such policy folder"):
        load_folder(tmp_path / "none")


def test_how_a_folder_differs_from_the_running_brain_is_said(tmp_path: Path) -> None:
    (missing,) = contract_complaints(tmp_path, CONTRACT)
    assert "_contract.json: is missing: run 'ab_ros policies sync'" in missing
    sync_policies(CONTRACT, tmp_path)
    assert contract_complaints(tmp_path, CONTRACT) == ()
    assert "output 'pan': n was 4, is 8" in contract_complaints(tmp_path, OTHER)
    (tmp_path / "_contract.py").write_text(f"SHA256 = '{OTHER.sha256}'\n")
    (mixed,) = contract_complaints(tmp_path, CONTRACT)
    assert "_contract.py: is of another contract" in mixed
    with pytest.raises(ContractError):
        read_contract(tmp_path)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[1, 2]", b'{"io": {"inputs": 3}}', b"[" * 100_000])
def test_a_broken_contract_file_is_a_contract_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "_contract.json").write_bytes(data)
    with pytest.raises(ContractError, match=r"_contract\.json"):
        read_contract(tmp_path)
