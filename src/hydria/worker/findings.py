"""What a pass has found to be unusable; one object for all amphorae of the pass."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from hydria.dataplane.usable import Unusable
from hydria.drivers.certificates.manager import CertificateManager
from hydria.model.tree import Tree
from hydria.worker import secrets
from hydria.worker.secrets import Supply


class Findings:
    """What one amphora's daemons refuse another's would refuse, too; what it has of secrets is its own.

    So a refusal is found out once a pass, and everything is tried again by the next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._supply: Supply | None = None
        self._refused: dict[str, str] = {}
        self._hopeless: frozenset[str] = frozenset()
        self._unloadable: dict[str, str] = {}
        self._lacking: dict[str, frozenset[str]] = {}
        self._served: dict[str, Mapping[str, str]] = {}

    def supply(self, manager: CertificateManager, tree: Tree) -> Supply:
        """The secrets of a tree, read when the first amphora needs them."""
        with self._lock:
            if self._supply is None:
                self._supply = secrets.read(manager, tree)
            elif not secrets.needed(tree) <= self._supply.known:
                # Something is served as it was before, with what was its own then.
                self._supply = self._supply.joined(secrets.read(manager, tree))
            return self._supply

    def unusable(self, amphora_id: str) -> Unusable:
        """What this amphora cannot serve, as far as is known."""
        with self._lock:
            supply = self._supply or Supply()
            lacking = self._lacking.get(amphora_id, frozenset())
            withheld = {**supply.gone, **self._unloadable}
            unreadable = {**withheld, **supply.away}
            return Unusable(
                missing={key: reason for key, reason in unreadable.items() if key in lacking},
                # What only cannot be read now is no fault of an object that is served all the same.
                kept={key: reason for key, reason in withheld.items() if key not in lacking},
                refused=dict(self._refused),
                hopeless=self._hopeless,
            )

    def contents(self, amphora_id: str) -> dict[str, str | None]:
        """Reference -> PEM text, or None for what this amphora is to go on with."""
        with self._lock:
            supply = self._supply or Supply()
            lacking = self._lacking.get(amphora_id, frozenset())
            withheld = {*supply.gone, *supply.away, *self._unloadable} - lacking
            return {**supply.pem, **dict.fromkeys(withheld)}

    def refuse(self, objects: Mapping[str, str], tried: Unusable) -> bool:
        """Note that objects cannot be part of a configuration; whether that is news.

        tried: what was known when it was tried. Those that were refused then are so as they were before, too.
        """
        with self._lock:
            hopeless = objects.keys() & tried.refused.keys()
            news = bool(objects.keys() - tried.refused.keys()) or not hopeless <= tried.hopeless
            self._refused = {**objects, **self._refused}
            self._hopeless |= hopeless
            return news

    def unload(self, amphora_id: str, references: Mapping[str, str], kept: frozenset[str]) -> bool:
        """Note that daemons cannot load what secrets hold; whether that is news.

        The amphora is to go on with what it has of them, unless it is that which cannot be loaded (``kept``).
        """
        with self._lock:
            lacking = self._lacking.get(amphora_id, frozenset())
            useless = (references.keys() & kept) - lacking
            news = bool(references.keys() - kept - lacking) or bool(useless)
            self._lacking[amphora_id] = lacking | useless
            self._unloadable = {**references, **self._unloadable}
            return news

    def lack(self, amphora_id: str, references: frozenset[str]) -> bool:
        """Note that an amphora does not have these secrets; whether that is news."""
        with self._lock:
            before = self._lacking.get(amphora_id, frozenset())
            self._lacking[amphora_id] = before | references
            return not references <= before

    def serve(self, amphora_id: str, faults: Mapping[str, str]) -> None:
        """Note that an amphora serves the desired state, but for what these objects lack."""
        with self._lock:
            self._served[amphora_id] = faults

    @property
    def faults(self) -> Mapping[str, str] | None:
        """Id of an object -> why it is not served as it was wanted; None when no amphora was configured."""
        with self._lock:
            if not self._served:
                return None
            # Those amphorae have the last word that have the least.
            worst_last = sorted(self._served, key=lambda each: (len(self._lacking.get(each, ())), each))
            return {key: text for each in worst_last for key, text in self._served[each].items()}

    @property
    def passing(self) -> bool:
        """Whether something is missing that may be there without anybody doing anything about it."""
        with self._lock:
            return bool(self._refused or self._unloadable or (self._supply and self._supply.away))

    def waits(self, amphora_id: str) -> bool:
        """Whether an amphora serves less than it will once the store of secrets answers."""
        with self._lock:
            away = self._supply.away.keys() if self._supply else frozenset()
            return bool(away & self._lacking.get(amphora_id, frozenset()))

    @property
    def complete(self) -> bool:
        """Whether amphorae have all secrets as they were read, and serve everything with them."""
        with self._lock:
            supply = self._supply
            if supply is None or self._refused or self._unloadable:
                return False
            return not (supply.gone or supply.away or any(self._lacking.values()))

    @property
    def versions(self) -> str | None:
        """Of the secrets that were read; None when none were."""
        with self._lock:
            return self._supply.versions if self._supply else None
