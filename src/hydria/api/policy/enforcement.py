"""The rules, evaluated by oslo.policy, with what the operator's policy file says of them.

oslo.policy looks for changes of its files and walks the rule's tree on every question. Here decisions are
kept: they follow from the rule, the caller and the project alone, as long as the files stay as they are,
which is looked at once a second. Where a rule asks somebody else (``http:``) nothing is kept.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from oslo_config import cfg
from oslo_policy import policy as oslo

from hydria.api.call import Caller
from hydria.api.policy.rules import BLOCKS, PREFIX, Block, Rule, rules
from hydria.model.errors import Invalid
from hydria.settings import Settings, library_options

LOG = logging.getLogger(__name__)

_DEFAULT_FILE = "policy.yaml"  # need not be there
_LOOK_SECONDS = 1.0
_MOST_KEPT = 10_000
_REASON = "Keystone's own roles, reader and member, have taken the place of those with the service's name."
_SINCE = "Wallaby"
_NOBODYS = "-"  # the project of what belongs to no project

Fingerprint = tuple[tuple[str, int, int, int], ...]


def list_rules() -> list[oslo.RuleDefault]:
    """All rules for oslo.policy's tools (entry point ``oslo.policy.policies``)."""
    return [*map(_block, BLOCKS), *map(_rule, rules())]


def tools_enforcer() -> oslo.Enforcer:
    """What applies with the configuration files in the tool's command line (``oslo.policy.enforcer``)."""
    named = [sys.argv[i + 1] for i, word in enumerate(sys.argv[:-1]) if word == "--config-file"]
    named += [word.partition("=")[2] for word in sys.argv if word.startswith("--config-file=")]
    return _enforcer(library_options(named))


class Enforcement:
    """A Judge who goes by the rules."""

    def __init__(self, settings: Settings) -> None:
        self._conf = library_options(settings.config_files)
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._seen: Fingerprint = ()
        self._enforcer = self._read()
        self._kept: dict[object, bool] | None = _fresh(self._enforcer)

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        """Whether the caller may do this; see :func:`hydria.api.policy.authorize`."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look()
        kept = self._kept
        if kept is None:
            return _judged(self._enforcer, caller, rule, project_id)
        key = (rule, project_id, caller)
        decision = kept.get(key)
        if decision is None:
            decision = _judged(self._enforcer, caller, rule, project_id)
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            kept[key] = decision
        return decision

    def _look(self) -> None:
        """Read the files anew if they are not what they were; rules that cannot be read change nothing."""
        with self._lock:
            if time.monotonic() - self._looked <= _LOOK_SECONDS:
                return
            self._looked = time.monotonic()
            if self._fingerprint() == self._seen:
                return
            try:
                self._enforcer = self._read()
            except Invalid as error:
                self._seen = self._fingerprint()
                LOG.error("%s The rules stay as they were.", error)  # noqa: TRY400  (no fault of ours)
                return
            self._kept = _fresh(self._enforcer)
            LOG.info("The policy has changed and applies from now on.")

    def _read(self) -> oslo.Enforcer:
        enforcer = _enforcer(self._conf)
        self._seen = self._fingerprint()
        named = self._conf.oslo_policy.policy_file
        if not self._conf.find_file(named) and named != _DEFAULT_FILE:
            raise Invalid(f"[oslo_policy] policy_file = {named}: there is no such file.")
        try:
            enforcer.load_rules()
        except (cfg.Error, OSError, ValueError, yaml.YAMLError) as error:
            raise Invalid(f"[oslo_policy] policy_file = {named} cannot be used: {error}") from error
        enforcer.use_conf = False  # or it would look at its files on every question
        known = set(enforcer.registered_rules)
        for name in enforcer.file_rules:
            if name.startswith(PREFIX) and name not in known:
                LOG.warning("[oslo_policy] policy_file: there is no rule %s, so nothing asks for it.", name)
        return enforcer

    def _fingerprint(self) -> Fingerprint:
        options = self._conf.oslo_policy
        found = [self._conf.find_file(name) for name in (options.policy_file, *options.policy_dirs)]
        paths = [Path(name) for name in found if name]
        paths += [file for path in paths if path.is_dir() for file in sorted(path.iterdir())]
        return tuple(_stat(path) for path in paths)


def _stat(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (str(path), 0, 0, 0)
    return (str(path), found.st_mtime_ns, found.st_size, found.st_ino)


def _enforcer(conf: cfg.ConfigOpts) -> oslo.Enforcer:
    enforcer = oslo.Enforcer(conf)
    # It would say so of each rule and at each start; the reference of policies does.
    enforcer.suppress_default_change_warnings = True
    enforcer.register_defaults(list_rules())
    return enforcer


def _fresh(enforcer: oslo.Enforcer) -> dict[object, bool] | None:
    """Where decisions are kept; None when a rule asks somebody else, who may change his mind."""
    kinds = "|".join(map(re.escape, metadata.entry_points(group="oslo.policy.rule_checks").names))
    asks = re.compile(rf"(?<![\w-])({kinds}):")
    return None if kinds and any(asks.search(str(check)) for check in enforcer.rules.values()) else {}


def _judged(enforcer: oslo.Enforcer, caller: Caller, rule: str, project_id: str | None) -> bool:
    credentials = _credentials(caller)
    if project_id is None:
        project_id = caller.project_id or _NOBODYS
        credentials["project_id"] = project_id
    target = {"project_id": project_id}
    credentials["is_admin"] = enforcer.enforce("context_is_admin", target, credentials)
    return bool(enforcer.enforce(PREFIX + rule, target, credentials))


def _credentials(caller: Caller) -> dict[str, Any]:
    """What rules can ask of a caller, in oslo.context's names.

    What a caller does not have is not there: no rule shall find two of nothing to be the same.
    """
    values: dict[str, Any] = {
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "domain_id": caller.domain_id,
        "system_scope": caller.system_scope,
        "user_domain_id": caller.user_domain_id,
        "project_domain_id": caller.project_domain_id,
        "service_user_id": caller.service_user_id,
        "service_project_id": caller.service_project_id,
    }
    present = {name: value for name, value in values.items() if value}
    return present | {"roles": list(caller.roles), "service_roles": list(caller.service_roles)}


def _block(block: Block) -> oslo.RuleDefault:
    old = None
    if block.old:
        old = oslo.DeprecatedRule(
            name=block.name, check_str=block.old, deprecated_reason=_REASON, deprecated_since=_SINCE
        )
    return oslo.RuleDefault(block.name, block.check, block.text, deprecated_rule=old, scope_types=["project"])


def _rule(rule: Rule) -> oslo.RuleDefault:
    operations: Sequence[Any] = [{"method": method, "path": path} for method, path in rule.operations]
    # A token of a whole domain is for neither; an administrator of one would be everybody's.
    return oslo.DocumentedRuleDefault(
        rule.full_name, rule.check, rule.text, list(operations), scope_types=["project", "system"]
    )
