"""``ab_ros policies``: keep a policy folder in step with the brain's contract, and try it out."""

from __future__ import annotations

import argparse
import asyncio
import inspect
from pathlib import Path
from typing import Any

from ab_ros.config import describe, load_yaml, parse
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, ProtocolError
from ab_ros.learning import tasks
from ab_ros.learning.policies import load_folder
from ab_ros.learning.scaffold import contract_complaints, read_contract, sync_policies
from ab_ros.learning.terms import KINDS
from ab_ros.learning.trial import Finding, try_policies

FOLDER = Path("policies")
"""Where policies stand unless the command says otherwise."""

_EXAMPLES = """
examples:
  ab_ros policies sync --brain arm.db
  AB_ROS_KEY=... ab_ros policies sync --url https://brains.example --project robot_arm
  ab_ros policies check                                what do they return for a made-up cycle?
  ab_ros policies check --brain arm.db                 and are they of this brain's contract?
  ab_ros policies terms                                the ready-made ones: formulas and settings

A sync writes _contract.json, _contract.py and _contract.sha256 each time; reward_policy.py and
error_deviation_policy.py only if there are none: those are yours. Give the folder to the critic
with its setting critic.policies.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "policies",
        help="keep reward and deviation policies in step with a brain",
        description="Keep a folder of reward and deviation policies in step with the contract of a"
        " brain, and try the policies without a robot.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser(
        "sync",
        help="write the contract; make policies that are missing",
        description="Write a brain's contract into a policy folder, make the policies that are"
        " missing there, and say what changed in the contract. No run is started.",
    )
    _add_where(action, required=True)
    action.set_defaults(run=sync)
    action = actions.add_parser(
        "check",
        help="call the policies once and say what they return",
        description="Call a folder's policies once, with a made-up cycle, and say what they return,"
        " or what is wrong and where. The exit code is 0 if nothing is wrong.",
    )
    _add_where(action, required=False)
    action.add_argument(
        "--options", type=Path, metavar="YAML", help="file with what the critic's options will be"
    )
    action.set_defaults(run=check)
    action = actions.add_parser(
        "terms",
        help="describe the ready-made policies, which need no Python",
        description="Describe the ready-made policies: the terms that a reward can be put together"
        " from in the critic's options, their formulas and their settings.",
    )
    action.add_argument("kind", nargs="?", choices=sorted(KINDS), help="one kind only")
    action.set_defaults(run=terms)


def _add_where(parser: argparse.ArgumentParser, required: bool) -> None:
    add = parser.add_argument
    add(
        "--dir",
        dest="folder",
        type=Path,
        default=FOLDER,
        metavar="DIR",
        help=f"the policy folder (default: {FOLDER})",
    )
    source = parser.add_argument_group("the brain").add_mutually_exclusive_group(required=required)
    source.add_argument("--brain", type=Path, metavar="FILE", help="a brain file")
    source.add_argument("--url", help="address of a service, with --project")
    # What is not given stays unset: the defaults are those of the settings of a remote brain.
    unset = argparse.SUPPRESS
    add = parser.add_argument_group("a service").add_argument
    add("--project", default="", metavar="ID", help="id of the project there")
    add("--key-file", default=unset, metavar="FILE", help="file with the key, chmod 600")
    add(
        "--key-variable",
        default=unset,
        metavar="NAME",
        help="environment variable with the key (default AB_ROS_KEY)",
    )
    add("--ca-file", default=unset, metavar="PEM", help="certificate authority to trust")
    add(
        "--plain-http",
        action="append",
        default=unset,
        metavar="HOST",
        help="host to which the key may go unencrypted; may be given again",
    )
    add(
        "--timeout",
        dest="connect_timeout",
        type=float,
        default=unset,
        metavar="S",
        help="how long the service has to answer (default 5)",
    )


_REMOTE = ("key_file", "key_variable", "ca_file", "plain_http", "connect_timeout")


def sync(options: argparse.Namespace) -> int:
    """Write the contract, make what is missing, and say what was done."""
    contract, source = _contract(options)
    report = sync_policies(contract, options.folder)
    print(f"{report.folder}: contract {report.digest[:12]}… of {source}")
    for name in report.written:
        print(f"  wrote {name}")
    for name in report.kept:
        print(f"  kept  {name} (yours)")
    if report.changed:
        print(f"the contract changed since the last sync ({report.earlier[:12] or 'unknown'}…):")
        for sentence in report.changes:
            print(f"  {sentence}")
    elif report.earlier:
        print("the contract has not changed since the last sync")
    return 0


def check(options: argparse.Namespace) -> int:
    """Call the policies once; say what they return or what is wrong."""
    folder: Path = options.folder
    chosen = {} if options.options is None else load_yaml(options.options)[0]
    findings = []
    if options.brain or options.url:
        contract, source = _contract(options)
        differences = contract_complaints(folder, contract)
        findings += [Finding(f"{folder}: {sentence}", bad=True) for sentence in differences]
        if not differences:
            findings.append(Finding(f"{folder}: of the contract of {source}"))
    else:
        contract = read_contract(folder)
    findings += try_policies(load_folder(folder, chosen), contract, chosen)
    for finding in findings:
        print(f"{'WRONG ' if finding.bad else ''}{finding.text}")
    return int(any(finding.bad for finding in findings))


def terms(options: argparse.Namespace) -> int:
    """Print formula and settings of each term."""
    if not options.kind:
        print(f"{inspect.getdoc(tasks)}\n")
    for name in [options.kind] if options.kind else KINDS:
        print(f"kind: {name}\n\n{inspect.getdoc(KINDS[name])}\n\n{describe(KINDS[name])}\n")
    if not options.kind:
        print(f"feedback\n\n{inspect.getdoc(tasks.FeedbackRule)}\n")
        print(describe(tasks.FeedbackRule))
    return 0


def _contract(options: argparse.Namespace) -> tuple[Contract, str]:
    """Return the contract of the brain that the options name, and where it is from."""
    if options.brain:
        from ab_ros.brains.files import load_brain

        return load_brain(options.brain).contract, str(options.brain)
    if not options.project:
        raise ConfigError("--project: is required with --url")
    return asyncio.run(_fetch(options))


async def _fetch(options: argparse.Namespace) -> tuple[Contract, str]:
    from ab_ros.brains.remote.calls import Calls, certificates
    from ab_ros.brains.remote.settings import RemoteSettings
    from ab_ros.brains.remote.tally import Tally
    from ab_ros.protocol import read_key

    given = {name: getattr(options, name) for name in _REMOTE if hasattr(options, name)}
    settings = parse(RemoteSettings, {"url": options.url, "project": options.project, **given})
    key = read_key(settings.key_variable, settings.key_file)
    calls = Calls(settings, key, certificates(settings), Tally())
    try:
        contract = await calls.contract()
    finally:
        await calls.close()
    where = f"project {settings.project!r} at {settings.endpoint.origin}"
    # An answer without any part would be read as the contract of a brain without ports.
    if not (contract.inputs or contract.outputs or contract.feedback):
        raise ProtocolError(f"{where}: the answer is no contract: it has no inputs and no outputs")
    return contract, where
