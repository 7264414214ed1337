"""Making a desired state true: stage, check, switch, confirm; or all is as it was before.

Whatever a change fails of, a refusal, a full disk, a program that was ended: what served goes on serving.
What cannot be set back at once is owed, and done before anything else is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from hydria.amphora import files, live, workdir
from hydria.amphora.counters import Counters, Observation, observe
from hydria.amphora.faults import Failed, Refused, Stale, Superseded
from hydria.amphora.haproxy import Haproxy
from hydria.amphora.kept import Kept
from hydria.amphora.leaving import Leaving
from hydria.amphora.limits import of_frontends
from hydria.amphora.log import Rare, log
from hydria.amphora.network import Network
from hydria.amphora.pings import Pings
from hydria.amphora.root_part import RootPart
from hydria.amphora.running import Lives, Running
from hydria.amphora.runtime import CommandFailed, Runtime
from hydria.amphora.servers import carried_over, difference
from hydria.amphora.services import Services
from hydria.wire.boot import Boot
from hydria.wire.heartbeat import ListenerReport
from hydria.wire.logs import Syslog
from hydria.wire.state import Applied, DesiredState, Heartbeats

_BROKEN_OFF = (Refused, Failed, OSError)
Steps = dict[str, Callable[[], object]]  # what -> how to have it as before
_LOOK_SECONDS = 1.0  # an HAProxy that is slower than this must not keep heartbeats waiting


class Applier:
    """Owns the applied state and the HAProxy process; one thing at a time."""

    def __init__(self, root: RootPart, boot: Boot, changed: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._network = Network(root)
        self._changed = changed  # called after whatever somebody may want to hear of at once
        self._state = DesiredState(generation=0)
        self._term = 0  # the highest that came; what was applied keeps it over the agent's end
        self._structure = ""  # of the process that runs
        self._owed: Steps = {}  # what could not be set back yet
        self._counters = Counters()
        self._observation = Observation()
        self._reports: dict[str, ListenerReport] = {}
        self._no_statistics = Rare("agent")
        self._services = Services(root, self._follow)
        self._pings = Pings()
        self._kept = Kept(boot.heartbeat_key)
        self.haproxy = Haproxy(boot.haproxy, boot.retired_limit, boot.memory_mb)
        self.leaving = Leaving(boot.hard_stop_after)
        self._lives = Lives(boot.heartbeat_key)
        self.epoch = self._lives.new_epoch()

    @property
    def generation(self) -> int:
        """The applied one."""
        return self._state.generation

    @property
    def term(self) -> int:
        """The highest that came with a state."""
        return self._term

    @property
    def heartbeats(self) -> Heartbeats | None:
        """Where they shall go, as far as a controller has said."""
        return self._state.heartbeats

    @property
    def logs(self) -> Syslog | None:
        """Where the agent's own log shall go, too."""
        return self._state.logs

    @property
    def healthy(self) -> bool:
        """Whether HAProxy runs, or has nothing to do."""
        return not self._state.haproxy or self.haproxy.running

    @property
    def owes(self) -> bool:
        """Whether something is not as it was before a change that failed."""
        return bool(self._owed)

    def apply(self, new: DesiredState) -> Applied:
        """Apply a state; Superseded, Stale, Lacking, Refused or its failure: then the one before serves."""
        with self._lock:
            old, began = self._state, time.monotonic()
            if new.term < self._term:
                raise Superseded(f"term {new.term} is over, {self._term} has begun", self._term)
            # Also by a state that comes to nothing: whoever sent it has the load balancer.
            self._term = new.term
            if new.generation < old.generation:
                raise Stale(f"generation {new.generation} is older than {old.generation}, which serves")
            self._settle_debts()
            new = files.completed(old, new)
            back: Steps = {}
            try:
                self._stage(old, new, back)
                reloaded, summary = self._switch(old, new, back)
                self._kept.commit()
            except Exception as failure:
                verdict = "refused" if isinstance(failure, Refused) else "failed"
                log("agent", f"generation {new.generation} {verdict}: {failure}")
                for what, step in back.items():
                    self._set_back(what, step)
                self._clear_up(old)
                raise
            self._state = new
            self._pings.know(new.servers)
            self._clear_up(new, staged=True)
            took = (time.monotonic() - began) * 1000
            log("agent", f"generation {new.generation} applied in {took:.0f} ms: {summary}")
        self._changed()
        return Applied(new.generation, reloaded)

    def recover(self) -> None:
        """At the start of the agent: go on with the state that was applied last."""
        with self._lock:
            state = self._kept.read()
            if state is None:
                return
            self._state, self._term = state, state.term
            self._pings.know(state.servers)
            self._set_back("network", lambda: self._network.restore(state))
            self._set_back("datagram services", lambda: self._services.restore(state.services))
            self._clear_up(state)
            if state.haproxy:
                self._set_back("configuration", lambda: workdir.write_changed(workdir.CONFIG, state.haproxy))
                self._take_over()
            former = self._lives.running()
            self._services.begin(former.datagrams if former.epoch == self.epoch else None)

    def revive(self) -> None:
        """HAProxy has ended unexpectedly: start it from what served; Refused if that fails."""
        with self._lock:
            if not self.healthy:
                log("agent", "HAProxy is not running; starting it")
                self._have_haproxy(self._state)
        self._changed()

    def mend(self) -> None:
        """Do what is owed, unless a change is under way, which does it first."""
        if self._lock.acquire(blocking=False):
            try:
                self._settle_debts()
            finally:
                self._lock.release()

    def sweep(self) -> int:
        """Delete removed servers whose connections have ended; returns how many are still waiting."""
        with self._lock, suppress(CommandFailed):
            return self.leaving.sweep() if self.leaving else 0
        return 1

    def _follow(self) -> None:
        """A target of a datagram service has gone up or down."""
        with self._lock:
            self._services.follow()
        self._changed()

    def level(self) -> bool:
        """Have new flows go to the targets that have the fewest; whether that is to be done again."""
        with self._lock:
            return self._services.level()

    def announce_again(self) -> None:
        """Repeat the announcement of new addresses, in case the first one was lost."""
        self._network.announce_again()

    def statistics(self, patience: float) -> tuple[dict[str, ListenerReport], Observation]:
        """What HAProxy counts and sees now; while it is being changed, what it did before."""
        if self._lock.acquire(timeout=patience):
            try:
                self._observe()
                self._services.observe(self._observation, self._reports)
            finally:
                self._lock.release()
        return self._reports, self._observation

    def datagram_metrics(self) -> Mapping[str, Sequence[str]]:
        """What Prometheus is told of the listeners that HAProxy does not serve."""
        if not self._state.services:
            return {}
        reports, seen = self.statistics(_LOOK_SECONDS)
        return self._services.metrics(reports, seen.members)

    def _switch(self, old: DesiredState, new: DesiredState, back: Steps) -> tuple[bool, str]:
        """Go from one state to the other; returns whether HAProxy was reloaded, and what was done.

        Before each step, the way ``back`` gets longer.
        """
        stays = self._can_stay(old, new)
        files.switch(old, new)
        back["pings"] = lambda: self._pings.know(old.servers)
        self._pings.know(old.servers, new.servers)
        if self.haproxy.running and self._network.differs(old, new):
            # Otherwise the switch is the check: what is refused there has changed nothing.
            self._network.check(old, new)
            if new.haproxy and not stays:
                self.haproxy.check(workdir.STAGED, new.haproxy)
        back["network"] = lambda: self._network.switch(new, old)
        self._network.switch(old, new)
        back["datagram services"] = lambda: self._services.switch(old.services)
        self._services.switch(new.services)
        back["HAProxy"] = lambda: self._have_haproxy(old)
        try:
            return self._switch_haproxy(old, new, stays=stays)
        except Refused:
            if self.haproxy.running and not stays:
                del back["HAProxy"]  # as it was; one that "stays" may have been changed
            raise

    def _stage(self, old: DesiredState, new: DesiredState, back: Steps) -> None:
        """Write all that the new state needs on disk, beside what is in use."""
        back["files"] = self._kept.give_up
        self._kept.stage(new)
        if new.haproxy:
            workdir.write(workdir.STAGED, new.haproxy)
        files.stage(old, new)

    def _have_haproxy(self, state: DesiredState) -> None:
        """A process that serves this state and nothing else; or none, if there is nothing to serve."""
        if state.haproxy:
            self._start(state, workdir.CONFIG)
        else:
            self._stop()

    def _set_back(self, what: str, step: Callable[[], object]) -> None:
        """Do a step of the way back; what fails is owed, and does not keep the others from being done."""
        try:
            step()
        except _BROKEN_OFF as failure:
            log("agent", f"{what}: not as before yet: {failure}")
            self._owed[what] = step

    def _settle_debts(self) -> None:
        """Do what is owed; raises what it fails of."""
        while self._owed:
            what, step = next(iter(self._owed.items()))
            step()
            del self._owed[what]
            log("agent", f"{what}: as before again")

    def _clear_up(self, state: DesiredState, *, staged: bool = False) -> None:
        """Leave on disk what this state needs; ``staged``: its configuration is still to be put in place.

        Nothing depends on it. What cannot be done now, the next change does, or the agent's next life.
        """
        try:
            if staged and state.haproxy:
                workdir.rename(workdir.STAGED, workdir.CONFIG)
            workdir.remove(workdir.STAGED)
            if not state.haproxy:
                for name in (workdir.CONFIG, workdir.PID, workdir.SERVER_STATE):
                    workdir.remove(name)
            files.tidy(state)
        except OSError as error:
            log("agent", f"the work directory is not tidy: {error}")

    def _can_stay(self, old: DesiredState, new: DesiredState) -> bool:
        """Whether the running process can be brought to the new state without another one."""
        return (
            self.haproxy.running
            and bool(new.structure)
            and self._structure == old.structure == new.structure
            and len(difference(old.servers, new.servers).replaced) <= live.MOST_REPLACED
            and self.haproxy.carries(new.haproxy)
        )

    def _switch_haproxy(self, old: DesiredState, new: DesiredState, *, stays: bool) -> tuple[bool, str]:
        if not new.haproxy:
            self._stop()
            return False, "HAProxy has nothing to do"
        if stays:
            changes = difference(old.servers, new.servers)
            renewed = list(files.renewed(old, new))
            limits = dict(of_frontends(new.haproxy).items() - of_frontends(old.haproxy).items())
            try:
                live.renew(renewed)
                live.limit(limits)
                live.carry_out(changes, self.leaving)
            except CommandFailed as failure:
                log("agent", f"reloading, because HAProxy cannot do it live: {failure}")
            else:
                said = f", {len(renewed)} certificates or lists renewed" if renewed else ""
                said += f", {len(limits)} connection limits changed" if limits else ""
                return False, f"{changes}{said}, no reload"
        verb = "reloaded" if self.haproxy.running else "started"
        self._start(new, workdir.STAGED)
        return True, f"HAProxy {verb}"

    def _start(self, state: DesiredState, path: str) -> None:
        """Start or replace the process; the statistics go on where the old one's end."""
        if self.haproxy.running:
            self._observe()
            self._keep_health(state)
        elif not workdir.read(workdir.SERVER_STATE):
            _note(workdir.SERVER_STATE, "1\n")
        self.haproxy.start(path, state.haproxy)
        self._counters.process_changed()
        self.leaving.clear()
        self._structure = state.structure
        self._note_running()

    def _stop(self) -> None:
        if self.haproxy.running:
            self._observe()
        self.haproxy.stop()
        self._counters.process_changed()
        self.leaving.clear()
        self._structure, self._observation, self._reports = "", Observation(), {}
        self._note_running()

    def _take_over(self) -> None:
        """Adopt the process of the agent's former life; replace it when it is not what the state says."""
        former = self._lives.running()
        if self.haproxy.adopt(self._state.haproxy):
            if former.pid == self.haproxy.pid:
                self.epoch, self._counters = former.epoch, Counters(former.base)
                self._structure = former.structure
            with suppress(CommandFailed):
                missing = live.strangers(self._state.servers, self.leaving)
                # The former life may have ended between the file, or the change, and the word to HAProxy.
                live.renew(self._state.files)
                live.limit(of_frontends(self._state.haproxy))
                if not missing and self._structure == self._state.structure:
                    log("agent", f"took over HAProxy, pid {self.haproxy.pid}, generation {self.generation}")
                    return
        try:
            self._start(self._state, workdir.CONFIG)
            log("agent", f"started HAProxy for generation {self.generation}")
        except _BROKEN_OFF as refusal:
            log("agent", f"cannot start HAProxy for generation {self.generation}: {refusal}")

    def _keep_health(self, state: DesiredState) -> None:
        """Tell the next process which servers are known to be down."""
        with suppress(CommandFailed), Runtime() as runtime:
            dump = runtime.ask("show servers state")
            _note(workdir.SERVER_STATE, carried_over(dump, state.servers, self.leaving))

    def _observe(self) -> None:
        """Look at HAProxy's statistics; keeps the last look when it does not answer."""
        if not self.haproxy.running:
            return
        try:
            with Runtime(_LOOK_SECONDS) as runtime:
                self._observation = observe(runtime.ask("show stat"), self.leaving)
                self._reports = self._counters.reports(self._observation)
        except (CommandFailed, ValueError, KeyError) as failure:
            self._no_statistics(f"no statistics: {failure}")

    def _note_running(self) -> None:
        base = {name: list(totals) for name, totals in self._counters.base.items()}
        datagrams = {name: list(totals) for name, totals in self._services.counters.base.items()}
        self._lives.note(Running(self.haproxy.pid, self._structure, self.epoch, base, datagrams))


def _note(name: str, content: str) -> None:
    """Write what the next process can do without: a full disk shall not stop it.

    What was noted of an earlier one would be wrong.
    """
    try:
        workdir.write(name, content)
    except OSError as error:
        workdir.remove(name)
        log("agent", f"cannot write {name}: {error}")
