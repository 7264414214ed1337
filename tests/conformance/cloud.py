"""What the suites run against: Keystone, the five programs on MariaDB and RabbitMQ, the noop drivers.

As upstream's job `octavia-v2-dsvm-noop-api` has it. Nothing below the control plane is there, so there is
no Neutron either; openstacksdk's tests want the id of a subnet from one, and get it from a stand-in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import keystone, services
from tests.clients import neutron
from tests.keystone import Keystone
from tests.system.deployment import Deployment, deployed, free_port

_OPTIONS = """\
[DEFAULT]
transport_url = {rabbitmq}
[database]
connection = {database}
[api_settings]
auth_strategy = keystone
enabled_provider_drivers = {providers}
[oslo_policy]
enforce_scope = true
enforce_new_defaults = true
[health_manager]
bind_ip = 127.0.0.1
bind_port = {heartbeats}
[controller_worker]
amphora_driver = amphora_noop_driver
compute_driver = compute_noop_driver
network_driver = network_noop_driver
[certificates]
cert_manager = noop_cert_manager
{authtoken}
"""

# Names and descriptions that the suite expects word for word, unless it is told others.
_PROVIDERS = {
    "amphora": "The Octavia Amphora driver.",
    "octavia": "Deprecated alias of the Octavia Amphora driver.",
}

_TEMPEST = """\
[DEFAULT]
log_file = {directory}/tempest.log
[oslo_concurrency]
lock_path = {directory}
[auth]
use_dynamic_credentials = true
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
[identity]
auth_version = v3
uri_v3 = {keystone}
region = RegionOne
[service_available]
cinder = false
glance = false
neutron = false
nova = false
swift = false
load_balancer = true
[network]
project_networks_reachable = true
[enforce_scope]
octavia = true
[load_balancer]
test_with_noop = true
enforce_new_defaults = true
provider = amphora
availability_zone = bogus-az-1
availability_zone2 = bogus-az-2
availability_zone3 = bogus-az-3
enabled_provider_drivers = {providers}
build_interval = 1
check_interval = 0.2
check_timeout = 60
lb_build_interval = 0.2
lb_build_timeout = 60
[loadbalancer-feature-enabled]
not_implemented_is_error = true
"""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A running cloud; ``directory`` has the suites' configuration, and whatever they leave behind."""

    directory: Path
    keystone: Keystone
    deployment: Deployment

    def write_tempest_conf(self) -> Path:
        """The configuration of Tempest."""
        path = self.directory / "tempest.conf"
        text = _TEMPEST.format(
            directory=self.directory,
            password=keystone.PASSWORD,
            keystone=self.keystone.url,
            providers=_listed(_PROVIDERS),
        )
        path.write_text(text)
        return path

    def write_clouds_yaml(self) -> Path:
        """The clouds that openstacksdk's tests log in to, by the names that they have there."""
        path = self.directory / "clouds.yaml"
        projects = {
            "devstack": "project_name: admin\n      project_domain_id: default",
            "devstack-alt": "project_name: admin\n      project_domain_id: default",
            "devstack-admin": "project_name: admin\n      project_domain_id: default",
            "devstack-system-admin": "system_scope: all",
        }
        lines = ["clouds:"]
        for name, scope in projects.items():
            lines += [
                f"  {name}:",
                "    region_name: RegionOne",
                "    identity_api_version: '3'",
                "    auth:",
                f"      auth_url: {self.keystone.url}",
                "      username: admin",
                f"      password: {keystone.PASSWORD}",
                "      user_domain_id: default",
                f"      {scope}",
            ]
        path.write_text("\n".join(lines) + "\n")
        return path


@contextmanager
def cloud(directory: Path) -> Iterator[Cloud]:
    """All of it, taken down in the end."""
    with (
        services.mariadb() as database_server,
        services.rabbitmq() as rabbitmq,
        services.fresh_database(database_server) as database,
        services.fresh_database(database_server) as of_keystone,
        keystone.keystone(of_keystone) as identity,
        neutron.network_service() as network,
    ):
        options = _OPTIONS.format(
            rabbitmq=rabbitmq.url,
            database=database,
            providers=_listed(_PROVIDERS),
            heartbeats=free_port(),
            authtoken=identity.authtoken(token_cache_time=300),
        )
        with deployed(Deployment(directory, "10.231", options)) as deployment:
            identity.endpoint("load-balancer", f"http://127.0.0.1:{deployment.port}")
            identity.endpoint("network", network)
            yield Cloud(directory, identity, deployment)


def _listed(providers: dict[str, str]) -> str:
    return ", ".join(f"{name}: {description}" for name, description in providers.items())
