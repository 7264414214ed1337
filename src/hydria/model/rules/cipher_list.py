"""Cipher lists, judged by who will read them: OpenSSL, as HAProxy calls it.

What it does not know it passes over. But of a list that leaves nothing it makes an error, and HAProxy refuses
the configuration.
"""

from __future__ import annotations

import ssl

from hydria.model.ciphers import Ciphers
from hydria.model.errors import validation

# RFC 8446, appendix B.4. They are set apart from those before (SSL_CTX_set_ciphersuites).
_SUITES = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
}


def judge(text: str) -> None:
    """Refuse a list that leaves no cipher of TLS 1.3, or of the versions before, where it names some."""
    listed = Ciphers.of(text)
    if listed.suites and _SUITES.isdisjoint(listed.suites):
        raise _nothing(":".join(listed.suites), "TLS 1.3")
    if listed.names[len(listed.suites) :]:
        words = ":".join(listed.words)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(words)
        except ssl.SSLError:
            raise _nothing(words, "TLS 1.2 and before") from None


def _nothing(names: str, versions: str) -> Exception:
    return validation(
        f"OpenSSL finds no cipher of {versions} in '{names}'. `openssl ciphers -v` shows what is in a list."
    )
