"""The command ``hydria``: wiring only. Each subcommand imports no more than it runs."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydria.ending import Ending

if TYPE_CHECKING:
    from hydria.settings import Settings

STATE_DIR = "HYDRIA_STATE_DIR"
_NOISY = ("taskflow", "alembic", "stevedore", "amqp", "oslo.messaging", "oslo_messaging", "pyroute2")
_PROGRAMS = ("api", "worker", "health-manager", "housekeeping", "driver-agent")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; its exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "amphora-agent":
        from hydria.amphora import main as amphora_main

        amphora_main(Path(options.boot_dir))
        return 0
    # oslo.service's import says so on every start; nothing of Hydria's runs on eventlet.
    warnings.filterwarnings("ignore", message="\\s*Eventlet is deprecated")
    from hydria.model.errors import HydriaError

    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except HydriaError as error:
        print(f"hydria: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hydria", description="Load balancing as a service.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--config-file", action="append", default=[], metavar="FILE", help="oslo.config INI file; repeatable"
    )
    shared.add_argument(
        "--state-dir",
        metavar="DIR",
        default=os.environ.get(STATE_DIR) or None,
        help=f"where the embedded drivers keep what they make; otherwise ${STATE_DIR}, or as configured",
    )
    everything = commands.add_parser(
        "all", parents=[shared], help="all five programs in one, on this machine"
    )
    everything.add_argument(
        "--ephemeral", action="store_true", help="take everything down at the end, traffic included"
    )
    everything.set_defaults(run=_all)
    for name in _PROGRAMS:
        program = commands.add_parser(name, parents=[shared], help=f"the {name.replace('-', ' ')} alone")
        program.set_defaults(run=_one)
    clean = commands.add_parser(
        "cleanup", parents=[shared], help="end all amphorae of a state directory and leave the host as it was"
    )
    which = clean.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", dest="every", help="of every instance on this host")
    which.add_argument(
        "--instance", action="append", default=[], metavar="ID", help="of one by its id; repeatable"
    )
    clean.set_defaults(run=_cleanup)
    commands.add_parser(
        "instances", parents=[shared], help="what there is of Hydria on this host, by instance"
    ).set_defaults(run=_instances)
    agent = commands.add_parser("amphora-agent", help="the agent inside an amphora")
    agent.add_argument("boot_dir", help="directory with boot.json and the certificates")
    database = commands.add_parser("db", help="the database").add_subparsers(required=True, metavar="COMMAND")
    database.add_parser("upgrade", parents=[shared], help="bring the schema up to date").set_defaults(
        run=_upgrade
    )
    _certificate_parser(commands, shared)
    status = commands.add_parser("status", help="this deployment").add_subparsers(
        required=True, metavar="COMMAND"
    )
    status.add_parser("check", parents=[shared], help="say what is missing").set_defaults(run=_check)
    return parser


def _certificate_parser(commands: argparse._SubParsersAction[Any], shared: argparse.ArgumentParser) -> None:
    """``hydria certificate``: the embedded store of tenants' certificates."""
    project = argparse.ArgumentParser(add_help=False, parents=[shared])
    project.add_argument("--project", default="default", help="whose secret it is (default: %(default)s)")
    certificate = commands.add_parser("certificate", help="certificates that listeners and pools refer to")
    kinds = certificate.add_subparsers(required=True, metavar="COMMAND")
    add = kinds.add_parser("add", parents=[project], help="keep a secret; prints its reference")
    add.add_argument("name")
    add.add_argument(
        "--certificate", metavar="FILE", help="PEM, intermediates behind it; needs --private-key"
    )
    add.add_argument("--private-key", metavar="FILE", help="PEM, without a pass phrase")
    add.add_argument("--pkcs12", metavar="FILE", help="a bundle of both, without a pass phrase")
    add.add_argument("--ca", metavar="FILE", help="PEM certificates that others are verified against")
    add.add_argument("--crl", metavar="FILE", help="PEM list of revoked certificates")
    add.add_argument("--replace", action="store_true", help="renew one of this name")
    add.set_defaults(run=_certificate, action="add")
    kinds.add_parser("list", parents=[project], help="references, kinds and names").set_defaults(
        run=_certificate, action="list_"
    )
    for action, text in (("show", "what a reference stands for, without its key"), ("remove", "forget one")):
        one = kinds.add_parser(action, parents=[project], help=text)
        one.add_argument("reference")
        one.set_defaults(run=_certificate, action=action)
    one.add_argument("--force", action="store_true", help="even if listeners or pools use it")


def _certificate(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from hydria.drivers.certificates import commands

    if options.action == "remove" and not options.force:
        _check_unused(settings, options.reference, options.project)
    for line in getattr(commands, options.action)(settings, options):
        print(line)
    return 0


def _check_unused(settings: Settings, reference: str, project_id: str) -> None:
    """Raise Conflict when a listener or pool refers to a secret."""
    from hydria.model.errors import Conflict, Unavailable
    from hydria.store import Store, schema, secret_users

    store = Store(settings.database_url)
    try:
        if schema.current(store) is None:
            return  # no load balancers yet
        schema.check(store)
        with store.read() as tx:
            users = list(secret_users.find(tx, reference, project_id))
    except Unavailable as error:
        raise Unavailable(
            f"Who uses {reference} is not known: {error} --force removes it all the same."
        ) from error
    if users:
        named = ", ".join(f"{type(user).__name__.lower()} {user.id}" for user in users)
        raise Conflict(
            f"{reference} is used by {named}. Without it they turn ERROR, and new amphorae do not serve them."
            " Give them another, or --force."
        )


def _settings(options: argparse.Namespace, *, embedded: bool = False) -> Settings:
    from hydria import settings

    overrides: dict[str, dict[str, object]] = {}
    if options.state_dir:
        overrides["DEFAULT"] = {"state_dir": str(Path(options.state_dir).resolve())}
    loaded = settings.load(options.config_file, embedded=embedded, overrides=overrides)
    logging.basicConfig(
        level=logging.DEBUG if loaded.DEFAULT.debug else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(_worth_a_line)
    return loaded


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Whether the log has a record: of noisy libraries warnings alone, whatever level they give themselves.

    pyroute2 would write down each link of the host at each look.
    """
    return record.levelno >= logging.WARNING or not record.name.startswith(_NOISY)


def _all(options: argparse.Namespace) -> int:
    ending = Ending()
    if not options.ephemeral or options.state_dir:
        return _all_on(options, ending)
    with tempfile.TemporaryDirectory(prefix="hydria-", ignore_cleanup_errors=True) as directory:
        options.state_dir = directory
        return _all_on(options, ending)


def _all_on(options: argparse.Namespace, ending: Ending) -> int:
    settings = _settings(options, embedded=True)
    from hydria import controllers
    from hydria.store import Store, schema

    controllers.check(settings)
    controllers.require_root(settings, "all")
    controllers.hold_state_dir(settings.state_dir)
    if ending:
        return 0
    parts = controllers.Parts(settings)
    parts.wakeups  # noqa: B018  (a URL that cannot be used is told before the host is touched)
    try:
        fresh = Store(settings.database_url)
        schema.upgrade(fresh)
        fresh.close()
        names = ("driver-agent", "health-manager", "worker", "housekeeping", "api")
        programs = [controllers.PROGRAMS[name](parts) for name in names]
        scheme = "https" if settings.api_settings.tls_certificate_file else "http"
        url = f"{scheme}://{settings.api_settings.bind_host}:{settings.api_settings.bind_port}"
        subnet = parts.network.default_vip_subnet_id
        hint = f", VIPs come from subnet {parts.network.subnet(subnet).name}" if subnet else ""
        ready = functools.partial(print, f"Hydria serves at {url}{hint}", flush=True)
        with controllers.announced(settings):
            return controllers.run(programs, ready, ending)
    finally:
        if options.ephemeral:
            controllers.clean_up(settings)


def _one(options: argparse.Namespace) -> int:
    ending = Ending()
    settings = _settings(options)
    from hydria import controllers

    controllers.check(settings)
    controllers.require_root(settings, options.command)
    program = controllers.PROGRAMS[options.command](controllers.Parts(settings))
    ready = functools.partial(print, f"hydria {options.command} is running", flush=True)
    with controllers.announced(settings):
        return controllers.run([program], ready, ending)


def _cleanup(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from hydria import controllers

    controllers.require_root(settings, "cleanup")
    if options.every or options.instance:
        return _end_instances(options, settings)
    controllers.require_state_dir(settings)
    controllers.hold_state_dir(settings.state_dir)
    controllers.clean_up(settings)
    print(f"All that {settings.state_dir} had on this host is gone.")
    return 0


def _end_instances(options: argparse.Namespace, settings: Settings) -> int:
    from hydria import controllers
    from hydria.drivers import instances
    from hydria.model.errors import HydriaError, Invalid

    found = instances.found()
    if unknown := set(options.instance) - {each.id for each in found}:
        raise Invalid(
            f"There is no instance {', '.join(sorted(unknown))} on this host: 'hydria instances' lists them."
        )
    failed = False
    for each in found:
        if options.every or each.id in options.instance:
            try:
                controllers.end_instance(settings, each)
                print(f"All that instance {each.id} had on this host is gone.")
            except HydriaError as error:
                failed = True
                print(f"hydria: {error}", file=sys.stderr)
    if not found:
        print("There is no instance of Hydria on this host.")
    return int(failed)


def _instances(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from hydria import controllers
    from hydria.drivers import instances

    controllers.require_root(settings, "instances")
    for line in instances.table(instances.found()):
        print(line)
    return 0


def _upgrade(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from hydria.drivers import state_dir
    from hydria.store import Store, schema

    if not settings.database.connection:
        with state_dir.writing(settings.state_dir):
            settings.state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    store = Store(settings.database_url)
    before = schema.current(store)
    schema.upgrade(store)
    after = schema.current(store)
    print(f"Schema revision {after}" + (" (unchanged)" if before == after else f", was {before or 'none'}"))
    return 0


def _weaknesses(settings: Settings) -> Iterator[str]:
    """What of the protection of running networks is not there, as it is read back from the kernel."""
    from hydria.drivers import state_dir
    from hydria.drivers.network.bridge import BridgeNetworkDriver
    from hydria.model.errors import HydriaError

    if settings.controller_worker.network_driver != "bridge":
        return
    if state_dir.existing_instance_id(settings.state_dir) is None:
        return
    try:
        yield from BridgeNetworkDriver(settings).weaknesses()
    except HydriaError as error:
        yield str(error)


def _check(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from hydria import controllers
    from hydria.drivers import host
    from hydria.drivers.compute import netns
    from hydria.model.errors import HydriaError
    from hydria.store import Store, schema

    problems: list[str] = []
    if settings.controller_worker.compute_driver == "netns":
        problems += host.missing()
        try:
            netns.check(settings)
        except HydriaError as error:
            problems.append(str(error))
    warnings = list(controllers.weak_places(settings))
    try:
        store = Store(settings.database_url)
        schema.check(store)
        warnings += controllers.undeleted(store)
    except HydriaError as error:
        problems.append(str(error))
    problems += _weaknesses(settings)
    for problem in problems:
        print(f"missing: {problem}")
    for warning in warnings:
        print(f"weaker: {warning}")
    print("ok" if not problems else f"{len(problems)} problems")
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
