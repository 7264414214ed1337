"""Who may read and change the files of operators that hold secrets, or say whom to believe.

What Hydria makes itself is its owner's alone. What operators bring is looked at when a program starts: a file
that every user of the host may read is told of, one that every user may write is refused.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from hydria.model.errors import Invalid
from hydria.settings import Settings

# A password in a URL, or an option that is called so, also of a library in the same file.
_SECRET = re.compile(
    rb"^(?!\s*[#;])(?:.*://[^/\s:@]*:[^/\s@]+@|\s*\w*(?:password|secret|heartbeat_key)\w*\s*[=:]\s*\S)",
    re.MULTILINE,
)


def exposed(settings: Settings) -> list[str]:
    """The files that everybody on this host may read, as sentences; Invalid where everybody may write."""
    found = []
    for path, option in _files(settings):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            secret = option or _SECRET.search(path.read_bytes())
        except OSError:
            continue  # whoever needs it says so
        named = f"{path} ({option})" if option else str(path)
        everybody = f"by every user of this host (mode {mode:o}): chmod o-rwx {path}"
        if mode & stat.S_IWOTH:
            raise Invalid(f"{named} can be changed {everybody}")
        if mode & stat.S_IROTH and secret:
            found.append(f"{named} can be read {everybody}")
    return found


def _files(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Path and option; configuration files, which may hold a secret or not, have none."""
    for name in settings.config_files:
        yield Path(name), ""
    api, certificates = settings.api_settings, settings.certificates
    if api.auth_strategy == "http_basic":
        yield Path(api.http_basic_auth_user_file), "[api_settings] http_basic_auth_user_file"
    if api.tls_certificate_file:
        yield Path(api.tls_key_file or api.tls_certificate_file), "[api_settings] tls_key_file"
    if certificates.storage_key_file:
        yield Path(certificates.storage_key_file), "[certificates] storage_key_file"
    if certificates.ca_private_key:
        yield Path(certificates.ca_private_key), "[certificates] ca_private_key"
