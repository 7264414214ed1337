"""Texts that daemons read, each of an alphabet that means nothing else to them.

What a client sent is held to it at the edge; renderers quote what is left (dataplane/haproxy/token.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from hydria.model import kinds
from hydria.model.statuses import ALPNProtocol, TLSVersion


@dataclass(frozen=True, slots=True)
class ExpectedCodes:
    """HTTP status codes: one, a list or a range; a range that runs backwards is what HAProxy refuses."""

    column: str = "text:64"

    def parse(self, value: object) -> str:
        text = _CODES.parse(value)
        low, _, high = text.partition("-")
        if high and int(low) > int(high):
            raise kinds.BadValue(f"The range of codes should run upwards: {high}-{low}")
        return text

    def schema(self) -> kinds.Schema:
        return _CODES.schema()


_CODES = kinds.Pattern(
    r"\d{3}(?: *, *\d{3})*|\d{3}-\d{3}",
    "Value should be a code (200), a list of codes (200, 202) or a range of codes (200-204).",
    limit=64,
)

# RFC 6265 and RFC 2616: a token, without the separators.
COOKIE_NAME = kinds.Pattern(r"[!#$%&'*+\-.0-9A-Z^_`a-z|~]+", 'Supplied "cookie_name" is invalid.', least=1)

# What may stand in a request line after the host (RFC 3986), so no blanks, double quotes or backslashes. Two
# slashes at the start would make what follows a host.
URL_PATH = kinds.Pattern(
    r"/(?!/)(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]|^`{}]|%[0-9A-Fa-f]{2})*",
    "Not a valid URLPath: it should start with a single '/' and have no blanks, double quotes, backslashes, "
    "'#', scheme or host; percent-encode other characters.",
)

# The same without what begins a query.
PATH = kinds.Pattern(
    r"/(?!/)(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*",
    "Value should be a path that starts with a single '/', without a query; percent-encode other characters.",
    least=1,
)

EXPECTED_CODES = ExpectedCodes()

# RFC 1123 labels; an underscore is tolerated because names in use have it.
HOST_NAME = kinds.Pattern(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?",
    "Value should be a host name.",
    least=1,
)

CIPHERS = kinds.Pattern(
    r"[A-Za-z0-9\-+!:@=_.]*",
    "Invalid characters in cipher string. Use an OpenSSL cipher list such as "
    "'ECDHE-RSA-AES128-GCM-SHA256:!aNULL'.",
    limit=2048,
)

HEADER_NAME = kinds.Pattern(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+", "Value should be an HTTP header name.", least=1)

# RFC 3986: a scheme, a host, and in the path no letter that would have to be percent-encoded. In the query
# and the fragment Octavia takes what is none of that, and templates have it there: {, |, a bare %.
REDIRECT_URL = kinds.Pattern(
    r"[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9\-._~!$&'()*+,;=:@%\[\]]+"
    r"(?:/(?:[A-Za-z0-9\-._~:/\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)?(?:[?#][!-~]*)?",
    "Not a valid URL: it should be absolute, begin with http:// or https:// and a host, and have no blanks "
    "or control characters, and in the path no quotes or backslashes; percent-encode other characters.",
)

REDIRECT_CODE = kinds.IntegerChoice((301, 302, 303, 307, 308))

TLS_VERSION = kinds.Choice(TLSVersion, "Invalid TLS versions")
ALPN_PROTOCOL = kinds.Choice(ALPNProtocol, "Invalid ALPN protocol")

PROJECT = kinds.Text(36)
