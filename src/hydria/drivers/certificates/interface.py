"""What Hydria asks of a certificate authority for amphorae."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """An amphora's certificate: ``pem`` holds certificate and private key; ``expires`` is UTC."""

    pem: bytes = field(repr=False)
    expires: datetime


class CertificateAuthority(Protocol):
    """Issues and shows certificates. Raises DriverError when a key or certificate cannot be used."""

    def issue(self, common_name: str) -> ServerCertificate:
        """A new P-256 key and certificate (serverAuth) whose CN and DNS SAN are ``common_name``."""

    @property
    def server_ca(self) -> Path:
        """PEM file of the CA that signs amphora certificates."""

    @property
    def client_ca_pem(self) -> bytes:
        """The CA that signs controllers' client certificates."""

    @property
    def client_certificate(self) -> Path:
        """PEM file with the controller's client certificate and key."""
