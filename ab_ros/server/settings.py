"""What a server of brains is told: where it listens, whom it lets in, what it allows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ab_ros.codec.rows import ROW_FORMS
from ab_ros.config import setting
from ab_ros.errors import ConfigError
from ab_ros.protocol.endpoint import is_loopback

LONGEST_PROJECT = 128


@dataclass(frozen=True)
class ServerSettings:
    """A server of one brain, for any number of projects."""

    brain: Path = setting(doc="Brain file that a project begins with; it is only read.")
    directory: Path = setting(
        Path("brains/served"), doc="Folder of what the projects have learned, a file for each."
    )
    host: str = setting(
        "127.0.0.1", doc="Address to listen on; others than this computer's own need a token."
    )
    port: int = setting(8642, doc="Port to listen on; 0: any that is free.", ge=0, le=65535)
    token_variable: str = setting(
        "AB_ROS_KEY", doc="Environment variable with the token that clients must have."
    )
    token_file: str = setting(
        "", doc="File with the token, for its owner only; a variable that is set goes first."
    )
    certificate: str = setting("", doc="TLS certificate (chain), PEM file; empty: no TLS.")
    private_key: str = setting("", doc="The certificate's private key, PEM file.")
    projects: tuple[str, ...] = setting((), doc="Ids of the projects that are served; empty: any.")
    rows: str = setting("tuple", doc="Form of the rows of output spikes.", one_of=ROW_FORMS)
    hold: float = setting(
        0.5, doc="A sample of which the client says no more is used so long.", unit="s", gt=0, le=60
    )
    linger: float = setting(
        300.0, doc="A run whose client is gone is stopped after that.", unit="s", ge=0, le=1e6
    )
    autosave: float = setting(
        30.0, doc="Period in which what was learned is saved.", unit="s", gt=0, le=86400
    )
    most_runs: int = setting(8, doc="Runs at once.", ge=1, le=10_000)
    most_connections: int = setting(32, doc="Realtime connections at once.", ge=1, le=10_000)
    largest_payload: int = setting(
        8 << 20, doc="Largest message that is read.", unit="bytes", ge=1 << 12, le=1 << 30
    )
    most_events: int = setting(
        10_000, doc="Events of a connection per second; more are slowed down.", ge=100, le=10**7
    )
    dt: float = setting(
        0.001, doc="Duration of a timestep of a brain that was never run.", unit="s", gt=0, le=1
    )
    seed: int | None = setting(None, doc="Seed of a brain that was never run.", ge=0)

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.private_key):
            raise ConfigError(
                "certificate, private_key: TLS needs both of them, or neither for plain http"
            )
        for project in self.projects:
            if not 0 < len(project) <= LONGEST_PROJECT:
                raise ConfigError(
                    f"projects: an id must have 1 to {LONGEST_PROJECT} characters, not {project!r}"
                )

    @property
    def loopback(self) -> bool:
        """Whether only this computer can reach the server."""
        return is_loopback(self.host)
