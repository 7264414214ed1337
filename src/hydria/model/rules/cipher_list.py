"""Cipher lists, judged by who will read them: OpenSSL, as HAProxy calls it.

What it does not know it passes over. But of a list that leaves nothing it makes an error, and HAProxy refuses
the configuration.
"""

from __future__ import annotations

import ssl

from hydria.model.errors import validation

# RFC 8446, appendix B.4. They are set apart from those before (SSL_CTX_set_ciphersuites).
_TLS_1_3 = "TLS_"
_SUITES = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
}


def judge(text: str) -> None:
    """Refuse a list that leaves no cipher of TLS 1.3, or of the versions before, where it names some."""
    names = text.split(":")
    suites = [name for name in names if name.startswith(_TLS_1_3)]
    others = [name for name in names if not name.startswith(_TLS_1_3)]
    if suites and _SUITES.isdisjoint(suites):
        raise _nothing(":".join(suites), "TLS 1.3")
    if others:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(":".join(others))
        except ssl.SSLError:
            raise _nothing(":".join(others), "TLS 1.2 and before") from None


def _nothing(names: str, versions: str) -> Exception:
    return validation(
        f"OpenSSL finds no cipher of {versions} in '{names}'. `openssl ciphers -v` shows what is in a list."
    )
