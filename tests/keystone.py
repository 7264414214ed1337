"""A real Keystone for tests: on a port of its own, SQLite, fernet tokens; nothing here knows pytest.

`scripts/setup test` puts it into a virtual environment of its own (`keystone` in the directory of .venv), so
that what it depends on is not mixed with what Hydria depends on. The fixture `keystone` is one for the whole
session (some seven seconds to start):

    def test_owner(keystone):
        alice = keystone.user(roles=["member"], project="alpha")      # both made when they are not there yet
        token = alice.token()                                         # X-Auth-Token
        conf.write_text(keystone.authtoken())                         # [keystone_authtoken] of hydria.conf
        keystone.endpoint("load-balancer", "http://127.0.0.1:9876")   # into the catalog, replacing another
        subprocess.run(["openstack", "loadbalancer", "list"], env=os.environ | alice.environment())

Roles are made on demand (`load-balancer_admin`, …); admin, manager, member and reader imply each other
downwards, as Keystone's own bootstrap has it. `system=True` gives roles on the system and system tokens.
Tests share it, so each makes users of its own (names are given out when left out) and, where it matters,
projects of its own. `keystone.service.stop()`, `.start()` and `.kill()` are there for tests of faults.
"""

import json
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import services
from tests.services import Service, ServiceError

PASSWORD = "not-a-secret"
_CONF = """\
[database]
connection = {database}
[fernet_tokens]
key_repository = {directory}/fernet
[credential]
key_repository = {directory}/credential
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = oslo_cache.dict
[oslo_policy]
enforce_scope = true
[DEFAULT]
log_dir =
use_stderr = true
"""

# Everything that a start needs, in one process: each keystone-manage takes two seconds to import.
_PREPARE = """\
import grp, os, pwd, sys
from keystone.cmd import cli
directory, url, password = sys.argv[1:]
mine = ["--keystone-user", pwd.getpwuid(os.geteuid()).pw_name]
mine += ["--keystone-group", grp.getgrgid(os.getegid()).gr_name]
for command in (
    ["db_sync"], ["fernet_setup", *mine], ["credential_setup", *mine],
    ["bootstrap", "--bootstrap-password", password, "--bootstrap-public-url", url,
     "--bootstrap-internal-url", url, "--bootstrap-admin-url", url, "--bootstrap-region-id", "RegionOne"],
):
    if os.fork() == 0:
        cli.main(["keystone-manage", "--config-file", directory + "/keystone.conf", *command])
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.wait()[1])
    if status:
        sys.exit(f"keystone-manage {command[0]} failed: {status}")
"""

# Keystone reads the arguments of the program that it is served by as if they were its own.
_SERVE = """\
import sys
listen = sys.argv.pop()
from keystone.wsgi.api import application
import waitress
waitress.serve(application, listen=listen, threads=4)
"""

# Keystone gives out no token that has expired, so one is made with its keys.
_EXPIRED = """\
import datetime, sys
import keystone.conf, keystone.server
conf, user_id, project_id = sys.argv[1:]
del sys.argv[1:]
keystone.server.configure(config_files=[conf])
from keystone.token import token_formatters
past = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
print(token_formatters.TokenFormatter().create_token(
    user_id=user_id, expires_at=past, audit_ids=["2XBhGC3uRNSDRGFs3d5ECw"],
    methods=["password"], payload_class=token_formatters.ProjectScopedPayload, project_id=project_id))
"""


@dataclass(frozen=True, slots=True)
class User:
    """One that can log in; ``project``: the name of the project, empty for the system."""

    keystone: "Keystone"
    id: str
    name: str
    project: str
    project_id: str

    def token(self) -> str:
        """A new token, scoped to the project or the system."""
        return self.keystone.login(self)

    def expired_token(self) -> str:
        """A token that was good until an hour ago."""
        return self.keystone.expired(self)

    def environment(self) -> dict[str, str]:
        """What openstackclient and openstacksdk log in with."""
        scope = (
            {"OS_PROJECT_NAME": self.project, "OS_PROJECT_DOMAIN_ID": "default"}
            if self.project
            else {"OS_SYSTEM_SCOPE": "all"}
        )
        return {
            "OS_AUTH_URL": self.keystone.url,
            "OS_AUTH_TYPE": "password",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": self.name,
            "OS_PASSWORD": PASSWORD,
            "OS_USER_DOMAIN_ID": "default",
            "OS_REGION_NAME": "RegionOne",
            **scope,
        }


@dataclass(slots=True)
class Keystone:
    """A running Keystone, and what tests do as its administrator. ``url`` ends with ``/v3``."""

    service: Service
    url: str
    _admin: str = ""
    _roles: dict[str, str] = field(default_factory=dict)
    _projects: dict[str, str] = field(default_factory=dict)

    # --- who there is

    def project(self, name: str) -> str:
        """The id of a project, made when it is not there yet."""
        if name not in self._projects:
            self._projects[name] = self._find_or_make("project", name, domain_id="default")
        return self._projects[name]

    def user(
        self, name: str = "", *, roles: Sequence[str] = (), project: str = "alpha", system: bool = False
    ) -> User:
        """A new user with these roles on the project or, ``system``, on the whole deployment."""
        name = name or f"user-{uuid.uuid4().hex[:8]}"
        body = {"name": name, "password": PASSWORD, "domain_id": "default"}
        user_id = self.ask("POST", "/users", {"user": body})["user"]["id"]
        project_id = "" if system else self.project(project)
        scope = "/system" if system else f"/projects/{project_id}"
        for role in roles:
            self.ask("PUT", f"{scope}/users/{user_id}/roles/{self._role(role)}")
        return User(self, user_id, name, "" if system else project, project_id)

    def service_user(self, name: str = "") -> User:
        """One with the role ``service`` in the project of services, for X-Service-Token."""
        return self.user(name, roles=["service"], project="service")

    def endpoint(self, service_type: str, url: str) -> None:
        """Have the catalog name this URL for a type of service; any other is taken out."""
        for service in self.ask("GET", f"/services?type={service_type}")["services"]:
            self.ask("DELETE", f"/services/{service['id']}")
        made = self.ask("POST", "/services", {"service": {"type": service_type, "name": service_type}})
        for interface in ("public", "internal", "admin"):
            body = {
                "service_id": made["service"]["id"],
                "interface": interface,
                "url": url,
                "region_id": "RegionOne",
            }
            self.ask("POST", "/endpoints", {"endpoint": body})

    def authtoken(self, *, token_cache_time: int = -1) -> str:
        """The section ``[keystone_authtoken]``; by default nothing is cached, so revocation counts at once."""
        return (
            "[keystone_authtoken]\n"
            f"www_authenticate_uri = {self.url}\nauth_url = {self.url}\nauth_type = password\n"
            f"username = admin\npassword = {PASSWORD}\nproject_name = admin\n"
            "user_domain_id = default\nproject_domain_id = default\n"
            "service_token_roles = service\nservice_token_roles_required = true\n"
            f"service_type = load-balancer\ntoken_cache_time = {token_cache_time}\n"
        )

    # --- tokens

    def login(self, user: User) -> str:
        scope: dict[str, Any] = (
            {"project": {"id": user.project_id}} if user.project else {"system": {"all": True}}
        )
        return self._login({"id": user.id}, scope)

    def revoke(self, token: str) -> None:
        """Make a token worthless, as ``openstack token revoke`` does."""
        self.ask("DELETE", "/auth/tokens", headers={"X-Subject-Token": token})

    def expired(self, user: User) -> str:
        conf = str(self.service.directory / "keystone.conf")
        done = services._run(
            None, self.service.directory, *_python("-c", _EXPIRED, conf, user.id, user.project_id)
        )
        return done.strip().splitlines()[-1]

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """A request to Keystone's API as its administrator; the body of the answer."""
        if not self._admin:
            self._admin = self._login(
                {"name": "admin", "domain": {"id": "default"}}, {"system": {"all": True}}
            )
        _, answer = self._request(method, path, body, {"X-Auth-Token": self._admin} | (headers or {}))
        return answer

    def _login(self, user: dict[str, Any], scope: dict[str, Any]) -> str:
        identity = {"methods": ["password"], "password": {"user": {**user, "password": PASSWORD}}}
        headers, _ = self._request(
            "POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}}, {}
        )
        return str(headers["X-Subject-Token"])

    def _request(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[Any, dict[str, Any]]:
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return answer.headers, json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            raise ServiceError(f"Keystone: {method} {path}: {error.code} {error.read()!r}") from error

    def _role(self, name: str) -> str:
        if name not in self._roles:
            self._roles[name] = self._find_or_make("role", name)
        return self._roles[name]

    def _find_or_make(self, kind: str, name: str, **more: str) -> str:
        found = self.ask("GET", f"/{kind}s?name={name}")[f"{kind}s"]
        made = found[0] if found else self.ask("POST", f"/{kind}s", {kind: {"name": name, **more}})[kind]
        return str(made["id"])


@contextmanager
def keystone(database: str = "") -> Iterator[Keystone]:
    """Keystone, with its administrator ``admin``; see the top of this module.

    database: the URL of an empty one, for clients that have Keystone write at the same time, which SQLite refuses.
    """
    port = services._free_port()
    url = f"http://{services.HOST}:{port}/v3"
    with services._directory(None) as directory:
        conf = _CONF.format(directory=directory, database=database or f"sqlite:///{directory}/keystone.db")
        (directory / "keystone.conf").write_text(conf)
        for keys in ("fernet", "credential"):
            (directory / keys).mkdir(mode=0o700)
        services._run(None, directory, *_python("-c", _PREPARE, str(directory), url, PASSWORD))
        service = Service(
            url=url,
            directory=directory,
            command=_python("-c", _SERVE, f"{services.HOST}:{port}"),
            probe=lambda: urllib.request.urlopen(url, timeout=10).close(),
            environment={
                "OS_KEYSTONE_CONFIG_DIR": str(directory),
                "OS_KEYSTONE_CONFIG_FILES": "keystone.conf",
            },
        )
        with services._running(service):
            yield Keystone(service, url)


def _python(*arguments: str) -> list[str]:
    interpreter = Path(sys.prefix) / "keystone" / "bin" / "python"
    if not interpreter.exists():
        raise ServiceError(
            f"there is no Keystone in {interpreter.parent.parent}: `scripts/setup test` makes one"
        )
    return [str(interpreter), *arguments]
