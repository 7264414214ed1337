"""Statuses and the other closed vocabularies of the API (contract 1.8 to 1.14)."""

from __future__ import annotations

from enum import StrEnum


class ProvisioningStatus(StrEnum):
    """How far the desired state of an object has been applied."""

    ACTIVE = "ACTIVE"
    PENDING_CREATE = "PENDING_CREATE"
    PENDING_UPDATE = "PENDING_UPDATE"
    PENDING_DELETE = "PENDING_DELETE"
    DELETED = "DELETED"
    ERROR = "ERROR"

    @property
    def pending(self) -> bool:
        """Whether a worker still has something to do for the object."""
        return self in _PENDING

    @property
    def going(self) -> bool:
        """Whether the object is on its way out, so no longer part of the desired state."""
        return self in (ProvisioningStatus.PENDING_DELETE, ProvisioningStatus.DELETED)


_PENDING = frozenset(
    {ProvisioningStatus.PENDING_CREATE, ProvisioningStatus.PENDING_UPDATE, ProvisioningStatus.PENDING_DELETE}
)


class OperatingStatus(StrEnum):
    """What the data plane last said about an object."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    DEGRADED = "DEGRADED"
    ERROR = "ERROR"
    DRAINING = "DRAINING"
    NO_MONITOR = "NO_MONITOR"


class AmphoraStatus(StrEnum):
    """Where an amphora is in its life."""

    BOOTING = "BOOTING"
    ALLOCATED = "ALLOCATED"
    PENDING_DELETE = "PENDING_DELETE"
    DELETED = "DELETED"
    ERROR = "ERROR"


class AmphoraRole(StrEnum):
    """The part an amphora plays in its load balancer's topology."""

    STANDALONE = "STANDALONE"
    MASTER = "MASTER"
    BACKUP = "BACKUP"


class Topology(StrEnum):
    """How many amphorae serve a load balancer."""

    SINGLE = "SINGLE"
    ACTIVE_STANDBY = "ACTIVE_STANDBY"


class ListenerProtocol(StrEnum):
    """What a listener speaks with its clients."""

    TCP = "TCP"
    HTTP = "HTTP"
    HTTPS = "HTTPS"
    TERMINATED_HTTPS = "TERMINATED_HTTPS"
    UDP = "UDP"
    SCTP = "SCTP"
    PROMETHEUS = "PROMETHEUS"

    @property
    def transport(self) -> str:
        """The layer 4 protocol, which decides whether two listeners can share a port."""
        return self.value if self in (ListenerProtocol.UDP, ListenerProtocol.SCTP) else "TCP"


class PoolProtocol(StrEnum):
    """What a pool speaks with its members."""

    TCP = "TCP"
    HTTP = "HTTP"
    HTTPS = "HTTPS"
    PROXY = "PROXY"
    PROXYV2 = "PROXYV2"
    UDP = "UDP"
    SCTP = "SCTP"


class Algorithm(StrEnum):
    """How a pool picks a member."""

    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_CONNECTIONS = "LEAST_CONNECTIONS"
    SOURCE_IP = "SOURCE_IP"
    SOURCE_IP_PORT = "SOURCE_IP_PORT"


class PersistenceType(StrEnum):
    """What ties a client to a member."""

    SOURCE_IP = "SOURCE_IP"
    HTTP_COOKIE = "HTTP_COOKIE"
    APP_COOKIE = "APP_COOKIE"


class MonitorType(StrEnum):
    """How members are probed."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    PING = "PING"
    TCP = "TCP"
    TLS_HELLO = "TLS-HELLO"
    UDP_CONNECT = "UDP-CONNECT"
    SCTP = "SCTP"


class HTTPMethod(StrEnum):
    """The request method of an HTTP monitor."""

    CONNECT = "CONNECT"
    DELETE = "DELETE"
    GET = "GET"
    HEAD = "HEAD"
    OPTIONS = "OPTIONS"
    PATCH = "PATCH"
    POST = "POST"
    PUT = "PUT"
    TRACE = "TRACE"


class PolicyAction(StrEnum):
    """What an L7 policy does with the requests that its rules match."""

    REJECT = "REJECT"
    REDIRECT_TO_POOL = "REDIRECT_TO_POOL"
    REDIRECT_TO_URL = "REDIRECT_TO_URL"
    REDIRECT_PREFIX = "REDIRECT_PREFIX"
    # Beyond Octavia's (extensions.py). MODIFY decides nothing: the policies behind it are tried, too.
    FIXED_RESPONSE = "FIXED_RESPONSE"
    MODIFY = "MODIFY"


class RuleType(StrEnum):
    """The part of a request that an L7 rule looks at."""

    HOST_NAME = "HOST_NAME"
    PATH = "PATH"
    FILE_TYPE = "FILE_TYPE"
    HEADER = "HEADER"
    COOKIE = "COOKIE"
    SSL_CONN_HAS_CERT = "SSL_CONN_HAS_CERT"
    SSL_VERIFY_RESULT = "SSL_VERIFY_RESULT"
    SSL_DN_FIELD = "SSL_DN_FIELD"
    # Beyond Octavia's (extensions.py).
    METHOD = "METHOD"
    QUERY = "QUERY"
    SOURCE_IP = "SOURCE_IP"


class CompareType(StrEnum):
    """How an L7 rule compares that part with its value."""

    REGEX = "REGEX"
    STARTS_WITH = "STARTS_WITH"
    ENDS_WITH = "ENDS_WITH"
    CONTAINS = "CONTAINS"
    EQUAL_TO = "EQUAL_TO"


class RateLimitAction(StrEnum):
    """What happens to the requests of a client that is beyond its limits."""

    DENY = "DENY"
    REJECT = "REJECT"
    SILENT_DROP = "SILENT_DROP"
    QUEUE = "QUEUE"


class RateLimitMetric(StrEnum):
    """What is counted of a client. The specification has packets, too, which no proxy sees."""

    REQUESTS = "REQUESTS"
    REQUESTS_PER_URL = "REQUESTS_PER_URL"
    KBYTES = "KBYTES"


class ClientAuthentication(StrEnum):
    """Whether TLS clients must show a certificate."""

    NONE = "NONE"
    OPTIONAL = "OPTIONAL"
    MANDATORY = "MANDATORY"


class TLSVersion(StrEnum):
    """TLS protocol versions, oldest first."""

    SSL_V3 = "SSLv3"
    TLS_V1 = "TLSv1"
    TLS_V1_1 = "TLSv1.1"
    TLS_V1_2 = "TLSv1.2"
    TLS_V1_3 = "TLSv1.3"


class ALPNProtocol(StrEnum):
    """Application protocols that TLS peers can agree on."""

    H2 = "h2"
    HTTP_1_1 = "http/1.1"
    HTTP_1_0 = "http/1.0"


class VnicType(StrEnum):
    """How a port is attached to its network."""

    NORMAL = "normal"
    DIRECT = "direct"
