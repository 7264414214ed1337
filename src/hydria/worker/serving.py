"""Having one amphora serve all of the desired state that can be served."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from hydria import dataplane
from hydria.dataplane import Rendered, Unwritable
from hydria.dataplane.culprits import culprits, isolate
from hydria.dataplane.usable import Unusable, usable
from hydria.model import faults
from hydria.model.amphora import Amphora
from hydria.model.errors import Lacking, Refused
from hydria.model.tree import Tree
from hydria.wire.capabilities import Capabilities
from hydria.wire.state import Heartbeats, Interface
from hydria.worker import secrets
from hydria.worker.tools import Tools

LOG = logging.getLogger(__name__)
# Each round finds at least one culprit; HAProxy names several at once.
_ROUNDS = 100
_SUSPECTS = 32  # how many listeners are tried one by one


def apply(tools: Tools, amphora: Amphora, tree: Tree, interface: Interface, told: Heartbeats) -> None:
    """Put the desired state to an amphora, without what it or nobody can serve, and note what that is.

    What nothing is known against is always tried as a whole first. Raises Refused, with nothing changed, when
    the amphora refuses what is no single object's fault.
    """
    _Placement(tools, amphora, tree, interface, told).apply()


class _Placement:
    """Tries until the amphora takes it: each time without what turned out to be unusable."""

    _rendered: Rendered  # of the last try
    _capabilities: Capabilities  # of the amphora's HAProxy, which may have been upgraded meanwhile

    def __init__(
        self, tools: Tools, amphora: Amphora, tree: Tree, interface: Interface, told: Heartbeats
    ) -> None:
        self._tools = tools
        self._findings = tools.findings
        self._amphora = amphora
        self._tree = tree.desired()
        self._interface = interface
        self._told = told

    def apply(self) -> None:
        self._capabilities = self._tools.amphorae.capabilities(self._amphora)
        if self._has_its_secrets() and self._put_with_what_it_has():
            return
        self._findings.supply(self._tools.certificates, self._tree)
        for _ in range(_ROUNDS):
            unusable = self._findings.unusable(self._amphora.id)
            try:
                self._put(unusable)
            except Unwritable as error:
                if not (error.owner and self._findings.refuse({error.owner: error.message}, unusable)):
                    raise
            except Lacking as lacking:
                if not self._lack(lacking):
                    raise
            except Refused as refusal:
                if not self._blame(refusal, unusable) and not self._isolate(refusal, unusable):
                    raise
            else:
                return
        raise Refused(f"Amphora {self._amphora.id} refused {_ROUNDS} states that were ever less.")

    def _has_its_secrets(self) -> bool:
        """Whether this amphora was given all secrets, and none of them is to be read anew."""
        balancer = self._tree.load_balancer
        return (
            0 < balancer.secret_generation <= self._amphora.applied_generation
            and balancer.secret_references == secrets.digest(self._tree)
            and self._findings.versions is None
        )

    def _put_with_what_it_has(self) -> bool:
        """Put the desired state without asking the store of secrets; False when that does not go."""
        try:
            self._send(self._tree, dict.fromkeys(secrets.needed(self._tree)))
        except (Refused, Unwritable) as error:
            LOG.info(
                "Amphora %s does not take this as it is; its secrets are read: %s", self._amphora.id, error
            )
            return False
        self._findings.serve(self._amphora.id, {})
        return True

    def _send(self, tree: Tree, contents: Mapping[str, str | None]) -> bool:
        """Have the amphora apply a tree; whether HAProxy had to read it."""
        self._rendered = dataplane.render(
            tree, (self._interface,), self._tools.tuning, contents, self._capabilities
        )
        term = self._tools.lease.term if self._tools.lease else 0
        state = dataclasses.replace(self._rendered.state, heartbeats=self._told, term=term)
        return self._tools.amphorae.apply(self._amphora, state).reloaded

    def _put(self, unusable: Unusable) -> bool:
        """Have the amphora serve what can be, and note what cannot; whether HAProxy had to read it."""
        served = usable(self._tree, unusable)
        self._findings.supply(self._tools.certificates, served.tree)
        reloaded = self._send(served.tree, self._findings.contents(self._amphora.id))
        self._findings.serve(self._amphora.id, served.faults)
        return reloaded

    def _lack(self, lacking: Lacking) -> bool:
        references = self._rendered.references
        return self._findings.lack(
            self._amphora.id, frozenset(references[name] for name in lacking.names if name in references)
        )

    def _blame(self, refusal: Refused, tried: Unusable) -> bool:
        """Leave out what the daemon names in its refusal; False when that is nothing new."""
        found = culprits(refusal.message, self._rendered, self._tree)
        objects = {key: faults.discreet(text) for key, text in found.objects.items()}
        secrets = {
            key: f"Could not use certificate: {[key]}. {faults.discreet(text)}"
            for key, text in found.secrets.items()
        }
        blamed = self._findings.refuse(objects, tried)
        kept = frozenset(
            self._rendered.references[file.name]
            for file in self._rendered.state.files
            if file.content is None and file.name in self._rendered.references
        )
        blamed = self._findings.unload(self._amphora.id, secrets, kept) or blamed
        if blamed:
            LOG.warning(
                "Load balancer %s: left out %s: %s",
                self._tree.load_balancer.id,
                ", ".join((*objects, *secrets)),
                refusal.message,
            )
        return blamed

    def _isolate(self, refusal: Refused, tried: Unusable) -> bool:
        """Find out by trying what is not refused; False when it is no listener's fault.

        Where an amphora serves, that it can be left as it is proves nothing against what is new: HAProxy may
        refuse whatever it is given. Then the refusal stands, and what served goes on.
        """
        serves = self._amphora.applied_generation > 0
        reason = faults.for_owner(refusal)
        served = usable(self._tree, tried).tree
        # What has changed last is the most likely, above all where the amphora served the rest before.
        suspects = [
            listener.id
            for listener in sorted(served.listeners, key=lambda each: -each.generation)
            if listener.admin_state_up
        ]
        if len(suspects) < 2:
            return False  # without its only listener everything is accepted, which proves nothing

        def accepts(left_out: AbstractSet[str]) -> bool:
            self._tools.check_wanted()
            refused = {**tried.refused, **dict.fromkeys(left_out, reason)}
            hopeless = tried.hopeless | left_out
            try:
                read = self._put(dataclasses.replace(tried, refused=refused, hopeless=hopeless))
            except Refused:
                return False
            return read or not serves

        found = isolate(suspects[:_SUSPECTS], accepts, at_once=not serves)
        if found is None:
            return False
        given_up = dataclasses.replace(tried, refused={**tried.refused, **dict.fromkeys(found, reason)})
        return self._findings.refuse(dict.fromkeys(found, reason), given_up)
