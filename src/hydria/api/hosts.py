"""Names that this API may be asked by: links in responses repeat the one that the request came with."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from hydria.model import kinds
from hydria.model.errors import Invalid
from hydria.settings import Settings

_AUTHORITY = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[A-Za-z0-9._-]{1,255}))(?::[0-9]{1,5})?"
)


class Hosts:
    """Judges Host headers. Where TLS is spoken here, a name must be one of the certificate's."""

    def __init__(self, settings: Settings) -> None:
        options = settings.api_settings
        # Links that the operator has set repeat no header, and a proxy has a certificate of its own.
        free = options.api_base_uri or settings.oslo_middleware.enable_proxy_headers_parsing
        self._file = Path(options.tls_certificate_file) if options.tls_certificate_file and not free else None
        self._seen = 0
        self._names: Collection[str] = ()

    def check(self, text: str) -> None:
        """Raise Invalid for what is no name of this API."""
        found = _AUTHORITY.fullmatch(text)
        if found is None:
            raise Invalid(
                f"The Host header is not a name or an address, with or without a port: {kinds.shown(text)}."
            )
        host = (found["v6"] or found["host"]).lower().rstrip(".")
        if self._file is None or _is_address(host) or host == "localhost" or self._is_certified(host):
            return
        raise Invalid(
            f"The Host header {kinds.shown(text)} is no name of this API's certificate. Use one that is; the"
            " operator can set [api_settings] api_base_uri, so that any is taken."
        )

    def _is_certified(self, host: str) -> bool:
        names = self._certified()
        return host in names or f"*.{host.partition('.')[2]}" in names

    def _certified(self) -> Collection[str]:
        assert self._file is not None
        written = self._file.stat().st_mtime_ns
        if written != self._seen:
            self._names = _names(self._file.read_bytes())
            self._seen = written
        return self._names


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _names(pem: bytes) -> Collection[str]:
    certificate = x509.load_pem_x509_certificates(pem)[0]
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = found.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return frozenset(name.lower() for name in names)
