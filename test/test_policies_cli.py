"""``ab_ros policies``: syncing a folder from a service or a brain file, and trying its policies."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.cli import main
from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.learning.scaffold import read_contract
from ab_ros.learning.terms import KINDS

WIRE = {
    "ok": True,
    "projectId": "robot arm/2",
    "constants": {"gamma": "20", "FEEDBACK_WINDOW_T": 10},
    "io": {
        "inputs": [{"id": "camera", "kind": "Image"}],
        "outputs": [{"id": "pan", "n": 8, "kind": "Motor"}],
        "feedback": [{"id": "fbP1", "n": 50, "fromOutput": "pan"}],
        "stdp3": {"layers": ["pan"]},
    },
}
PATH = "/api/robot/robot%20arm%2F2/contract"
KEY = "a-secret-key"
Answer = Callable[[BaseHTTPRequestHandler], None]


class Service:
    """A tiny service; ``answers`` says what each GET gets."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answer: Answer = said(200, WIRE)
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name is the library's
                outer.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                outer.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def said(status: int, body: Any, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture(autouse=True)
def _without_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AB_ROS_KEY", raising=False)


def sync(service: Service, folder: Path, *more: str) -> int:
    place = ("--url", service.url, "--project", "robot arm/2", "--dir", str(folder))
    return main(["policies", "sync", *place, *more])


def test_a_sync_fetches_the_contract_without_starting_a_run(
    service: Service,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AB_ROS_KEY", KEY)
    assert sync(service, tmp_path) == 0
    ((path, headers),) = service.requests
    assert path == PATH
    assert headers["x-api-key"] == KEY and headers["authorization"] == f"Bearer {KEY}"
    digest = Contract.from_dict(WIRE).sha256
    assert read_contract(tmp_path).sha256 == digest
    out = capsys.readouterr().out
    assert out.splitlines() == [
        f"{tmp_path}: contract {digest[:12]}… of project 'robot arm/2' at {service.url}",
        "  wrote _contract.json",
        "  wrote _contract.py",
        "  wrote _contract.sha256",
        "  wrote reward_policy.py",
        "  wrote error_deviation_policy.py",
    ]


def test_a_second_sync_keeps_the_policies_and_says_what_changed(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync(service, tmp_path) == 0
    (tmp_path / "reward_policy.py").write_text("# mine\n")
    capsys.readouterr()
    assert sync(service, tmp_path) == 0
    assert capsys.readouterr().out.endswith("the contract has not changed since the last sync\n")
    service.answer = said(200, {**WIRE, "constants": {"gamma": 40, "feedbackT": 10}})
    assert sync(service, tmp_path) == 0
    out = capsys.readouterr().out
    assert "  kept  reward_policy.py (yours)\n" in out
    assert out.splitlines()[-1] == "  constant gamma: was 20, is 40"
    assert (tmp_path / "reward_policy.py").read_text() == "# mine\n"
    assert not any("authorization" in headers for _, headers in service.requests)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (said(401, {"error": "no"}), "a key is required"),
        (said(404, {"ok": False, "error": "unknown"}), "there is no project 'robot arm/2'"),
        (said(302, b"", Location="http://127.0.0.1:9/elsewhere"), "redirect"),
        (said(500, b"<h1>oops</h1>"), "refused with 500"),
        (said(200, b"<html>hello</html>"), "is not JSON"),
        (said(200, [1]), "must be a JSON object"),
        (said(200, {"ok": True}), "the answer is no contract: it has no inputs and no outputs"),
        (said(200, {"io": {"outputs": [{"n": 3}]}}), "must be an object with an id"),
        (said(200, b'"' + b"x" * (9 << 20) + b'"'), "larger than largest_payload"),
    ],
)
def test_an_answer_that_is_no_contract_is_told_in_one_line(
    service: Service,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
    says: str,
) -> None:
    service.answer = answer
    assert sync(service, tmp_path / "policies") == 1
    error = capsys.readouterr().err
    assert error.startswith("ab_ros: ") and error.count("\n") == 1 and says in error
    assert not (tmp_path / "policies").exists()
    assert len(service.requests) == 1


def test_a_key_that_is_refused_is_not_shown(
    service: Service,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    service.answer = said(401, {"error": f"{KEY} is wrong"})
    assert sync(service, tmp_path, "--key-variable", "MY_KEY") == 1
    error = capsys.readouterr().err
    assert "the key is refused" in error and KEY not in error


def test_a_service_that_does_not_answer_is_given_up(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        # Bytes keep coming, so no single wait ever takes long.
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while not service.released.wait(0.05):
                handler.wfile.write(b"X-More: 1\r\n")
        except OSError:
            pass

    service.answer = drip
    assert sync(service, tmp_path, "--timeout", "0.5") == 1
    assert "no answer within 0.5 s" in capsys.readouterr().err


def test_a_service_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        place = ("--url", url, "--project", "p", "--dir", str(tmp_path))
        assert main(["policies", "sync", *place]) == 1
    error = capsys.readouterr().err
    assert url in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", "http://brains.example", "--project", "p"], "in the clear"),
        (["--url", "https://brains.example"], "--project: is required with --url"),
        (["--url", "nonsense", "--project", "p"], "must be like https://host"),
        (["--url", "http://127.0.0.1:1", "--project", "p", "--timeout", "-1"], "connect_timeout"),
    ],
)
def test_wrong_use_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["policies", "sync", *arguments, "--dir", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err


@pytest.fixture
def brain(tmp_path: Path) -> Path:
    """Return a brain file with one output and one feedback."""
    settings = parse(
        ArchitectureSettings,
        {
            "gamma": 20,
            "feedback_timesteps": 10,
            "populations": {"pan": {"neuron": "FS", "size": 8, "output": True}},
            "feedback": {"fb": {"size": 4, "output": "pan"}},
        },
    )
    EmbeddedBrain(settings).save(tmp_path / "brain.db")
    return tmp_path / "brain.db"


def test_a_brain_file_has_a_contract_to_sync_and_check(
    brain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "policies"
    place = ["--dir", str(folder)]
    assert main(["policies", "sync", "--brain", str(brain), *place]) == 0
    assert read_contract(folder) == EmbeddedBrain.load(brain).contract
    capsys.readouterr()
    assert main(["policies", "check", "--brain", str(brain), *place]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder}: of the contract of {brain}"
    assert f"{folder / 'reward_policy.py'}:" in lines[1] and "compute_reward: 0.6" in lines[1]
    assert lines[2].endswith("compute_deviation('fb'): 10 values from 0 to 0")


def test_check_says_what_is_wrong_and_where(
    service: Service, brain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "policies"
    assert sync(service, folder) == 0
    (folder / "reward_policy.py").write_text(
        "def compute_reward(summary, *, stdp_layers):\n"
        "    moved = summary['joints']['any_joint']['after']\n"
        "    return moved * summary['options']['gain'], {'pna': 0.5}\n"
    )
    (folder / "error_deviation_policy.py").write_text(
        "\ndef compute_deviation(feedback_id, *, T, ctx=None):\n    return [0.0] * (T - 1)\n"
    )
    capsys.readouterr()
    assert main(["policies", "check", "--dir", str(folder)]) == 1
    first, second = capsys.readouterr().out.splitlines()
    reward, deviation = folder / "reward_policy.py", folder / "error_deviation_policy.py"
    assert first == f"WRONG {reward}:3: compute_reward failed: KeyError: 'gain'"
    assert second == (
        f"WRONG {deviation}:2: compute_deviation('fbP1') must return 10 numbers, not 9"
    )

    (tmp_path / "options.yaml").write_text("gain: 10.0\n")
    more = ["--options", str(tmp_path / "options.yaml"), "--brain", str(brain)]
    assert main(["policies", "check", "--dir", str(folder), *more]) == 1
    out = capsys.readouterr().out
    assert f"{reward}:1: compute_reward: 0.1" in out
    assert f"WRONG {reward}:1: rewards layer 'pna', which the brain does not have" in out
    assert f"WRONG {folder}: feedback 'fbP1' was removed" in out


def test_check_of_a_folder_that_cannot_be_loaded_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policies", "check", "--dir", str(tmp_path)]) == 2
    assert "_contract.json: is missing: run 'ab_ros policies sync'" in capsys.readouterr().err


def test_terms_are_described_with_formulas_and_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["policies", "terms"]) == 0
    out = capsys.readouterr().out
    for word in (*KINDS, "reward_policy: ab_ros.learning.tasks", "| `sign` | number | 1.0 |"):
        assert word in out
    assert main(["policies", "terms", "smoothness"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("kind: smoothness\n") and "| `speed` | number | unset |" in out
