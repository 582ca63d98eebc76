"""Setting up: which Python and which ROS 2 are taken, and what is said when none can be."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def workspace(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with an environment in which no ROS 2 and no Python is asked for."""
    monkeypatch.syspath_prepend(str(root / "scripts"))
    spec = spec_from_file_location("ab_ros_workspace", root / "scripts" / "workspace.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for name in ("PYTHON", "ROS_DISTRO", "ROS_VERSION", "ROS_WHEELS", "CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    return module


def program(path: Path, version: str, venv: str = "yes", headers: str = "yes") -> str:
    """Make a program that answers like a Python when it is probed."""
    lines = (str(path), version, venv, headers)
    path.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (("3.9",), "is Python 3.9, but ab_ros needs Python 3.10 to 3.13"),
        (("3.14",), "is Python 3.14, but ab_ros needs Python 3.10 to 3.13"),
        (("3.12", "no"), "apt install python3.12-venv"),
        (("3.12", "yes", "no"), "apt install python3.12-dev"),
        (("3.12", "yes", "yes\nand more"), "does not run as a Python 3"),
    ],
)
def test_python_that_cannot_be_used(
    answers: tuple[str, ...], said: str, workspace: ModuleType, tmp_path: Path
) -> None:
    python = program(tmp_path / "python", *answers)
    with pytest.raises(workspace.SetupError, match=said) as refused:
        workspace.choose_interpreter(python)
    assert "\n" not in str(refused.value)


def test_python3_is_taken_first(
    workspace: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = program(tmp_path / "python3", "3.10")
    program(tmp_path / "python3.13", "3.13")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert workspace.choose_interpreter(None).path == first


def test_newest_supported_python_stands_in(
    workspace: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "python3", "3.9")
    program(tmp_path / "python3.11", "3.11")
    newest = program(tmp_path / "python3.12", "3.12")
    program(tmp_path / "python3.13", "3.13", "yes", "no")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert workspace.choose_interpreter(None).path == newest


def test_python_of_a_virtual_environment_stands_for_the_one_that_made_it(
    workspace: ModuleType, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    chosen = workspace.choose_interpreter(str(tmp_path / "venv" / "bin" / "python"))
    # Or `make` in a shell that has sourced env.sh would remove the Python that it runs on.
    assert tmp_path not in Path(chosen.path).parents


def test_missing_python(workspace: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(workspace.SetupError, match="PYTHON=python9: there is no such program"):
        workspace.choose_interpreter("python9")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(workspace.SetupError, match=r"no Python 3\.10 to 3\.13 on PATH"):
        workspace.choose_interpreter(None)


def test_missing_compiler(workspace: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    monkeypatch.setenv("CC", "sh")
    with pytest.raises(workspace.SetupError, match=r"no C\+\+ compiler \(no-such-compiler\)"):
        workspace.choose_compiler()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ROS_WHEELS": "humble"}, "ROS_WHEELS=humble: there are wheels of kilted and jazzy"),
        ({"ROS_DISTRO": "humble"}, "humble.* is older than Jazzy"),
        ({"ROS_DISTRO": "noetic", "ROS_VERSION": "1"}, "noetic.* is older than Jazzy"),
    ],
)
def test_ros_that_cannot_be_used(
    variables: dict[str, str],
    said: str,
    workspace: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(workspace.SetupError, match=said):
        workspace.choose_workspace()


def test_path_with_spaces(workspace: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "ROOT", Path("/home/a b/ab_ros"))
    with pytest.raises(workspace.SetupError, match=r"without spaces: move /home/a b/ab_ros"):
        workspace.choose_workspace()


def test_wheels_that_are_asked_for_win_over_a_sourced_ros(
    workspace: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/kilted")
    monkeypatch.setenv("PYTHONPATH", "/opt/ros/kilted/lib")
    monkeypatch.setenv("ROS_WHEELS", "jazzy")
    monkeypatch.setattr(
        workspace, "choose_interpreter", lambda _: workspace.Interpreter("python3", "3.12", "")
    )
    chosen = workspace.choose_workspace()
    assert (chosen.distribution, chosen.sourced) == ("jazzy", False)
    assert chosen.folder.name == "jazzy-py3.12"
    # Nothing of the sourced one reaches the child processes.
    assert not {"ROS_DISTRO", "AMENT_PREFIX_PATH", "PYTHONPATH"} & set(
        workspace.clean_environment(chosen)
    )


def test_interrupted_setup_is_begun_again(
    workspace: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = workspace.REQUIREMENTS
    monkeypatch.setattr(workspace, "ROOT", tmp_path)
    monkeypatch.setattr(workspace, "REQUIREMENTS", requirements)
    monkeypatch.setattr(workspace, "choose_compiler", lambda: None)
    chosen = workspace.Workspace("kilted", False, workspace.Interpreter(sys.executable, "3.12", ""))
    chosen.python.parent.mkdir(parents=True)
    chosen.python.touch()
    calls: list[object] = []

    def interrupted(command: list[object], *_: object) -> None:
        calls.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr(workspace, "call", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            workspace.make_venv(chosen)
        assert not (chosen.folder / "venv.stamp").exists()
        assert not chosen.python.exists()
    assert len(calls) == 2


def test_failed_command_shows_its_output(
    workspace: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log" / "step.txt"
    with pytest.raises(workspace.SetupError, match=rf"sh failed with status 3; all of it: {log}"):
        workspace.call(["/bin/sh", "-c", "echo no room left; exit 3"], log, {})
    assert "no room left" in capfd.readouterr().err


def test_build_notices_what_matters(workspace: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "Reward.msg"
    file.write_text("float64 reward\n")
    before = workspace.fingerprint("kilted", file)
    assert workspace.fingerprint("kilted", file) == before
    file.write_text("float32 reward\n")
    assert len({before, workspace.fingerprint("kilted", file), workspace.fingerprint("jazzy")}) == 3


@pytest.fixture
def beside(workspace: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A workspace on wheels, and a package of messages that only tests need."""
    monkeypatch.setattr(workspace, "ROOT", tmp_path)
    monkeypatch.setattr(workspace, "INTERFACES", tmp_path / "test" / "interfaces")
    monkeypatch.setattr(workspace, "choose_compiler", lambda: None)
    package = workspace.INTERFACES / "jog_msgs"
    package.mkdir(parents=True)
    (package / "package.xml").write_text("<package/>")
    beside = workspace.Workspace("kilted", False, workspace.Interpreter(sys.executable, "3.12", ""))
    beside.folder.mkdir(parents=True)
    return beside


def test_messages_that_tests_need_are_built_where_ros_lacks_them(
    workspace: ModuleType, beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def built(command: list[object], *_: object) -> None:
        steps.append(str(command[1]))
        (beside.folder / "interfaces" / "jog_msgs" / "build").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(workspace, "call", built)
    workspace.build_interfaces(beside, "wheels")
    assert steps == ["-S", "--build", "--install"]
    workspace.build_interfaces(beside, "wheels")
    assert len(steps) == 3
    (workspace.INTERFACES / "jog_msgs" / "package.xml").write_text("<package> </package>")
    workspace.build_interfaces(beside, "wheels")
    assert len(steps) == 6
    workspace.write_env(beside)
    entered = beside.folder / "interfaces" / "jog_msgs" / "install" / "share" / "jog_msgs"
    assert f". {entered}/local_setup.bash\n" in beside.env.read_text()
    # Installed by the user meanwhile: the stand-in is no longer entered.
    index = beside.folder / "venv" / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "jog_msgs").touch()
    assert workspace.missing_interfaces(beside) == []
    workspace.write_env(beside)
    assert "jog_msgs" not in beside.env.read_text()


def test_stand_in_that_a_shell_has_entered_is_not_taken_for_an_installed_package(
    workspace: ModuleType, beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sourced = workspace.Workspace("kilted", True, beside.interpreter)
    prefix = sourced.folder / "interfaces" / "jog_msgs" / "install"
    index = Path("share", "ament_index", "resource_index", "packages")
    (prefix / index).mkdir(parents=True)
    (prefix / index / "jog_msgs").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix))
    assert workspace.missing_interfaces(sourced) == ["jog_msgs"]


def test_interrupted_build_of_messages_is_not_entered(
    workspace: ModuleType, beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(*_: object) -> None:
        raise workspace.SetupError("cmake failed")

    monkeypatch.setattr(workspace, "call", failed)
    with pytest.raises(workspace.SetupError):
        workspace.build_interfaces(beside, "wheels")
    workspace.write_env(beside)
    assert "jog_msgs" not in beside.env.read_text()
