"""The API's certificate, for the HAProxy in front (front.py), which wants it and its key in one text."""

from __future__ import annotations

import logging
import os
import ssl
from io import FileIO
from pathlib import Path

from hydria.model.errors import Invalid
from hydria.settings import ApiSettings

LOG = logging.getLogger(__name__)


class Certificate:
    """The files, and what they held when they were last good. Raises Invalid when they cannot be used."""

    def __init__(self, settings: ApiSettings) -> None:
        self._certificate = Path(settings.tls_certificate_file)
        self._key = Path(settings.tls_key_file or settings.tls_certificate_file)
        self._seen = self._fingerprint()
        self.pem = self._load()

    def renewed(self) -> bool:
        """Whether there is another one since the last look, which ``pem`` is now."""
        try:
            found = self._fingerprint()
            if found == self._seen:
                return False
            self.pem = self._load()
            self._seen = found
        except Invalid as error:  # half of the new pair is there, the rest will follow
            LOG.warning("%s The one before is used on.", error)
            return False
        LOG.info("The API has a new certificate, of %s.", self._certificate)
        return True

    def _fingerprint(self) -> list[tuple[int, int, int]]:
        try:
            found = [path.stat() for path in (self._certificate, self._key)]
        except OSError as error:
            raise Invalid(f"[api_settings] TLS: {error.filename}: {error.strerror}.") from error
        return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in found]

    def _load(self) -> bytes:
        try:
            pem = b"\n".join(path.read_bytes() for path in dict.fromkeys((self._certificate, self._key)))
            with FileIO(os.memfd_create("certificate"), "w") as file:
                file.write(pem)
                # With an empty pass phrase, or OpenSSL would ask for one on the terminal.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                    f"/proc/self/fd/{file.fileno()}", password=""
                )
        except (OSError, ValueError) as error:
            raise Invalid(
                f"[api_settings] tls_certificate_file = {self._certificate}, tls_key_file = {self._key}: no"
                f" certificate with its unencrypted private key in PEM ({error})."
            ) from error
        return pem
