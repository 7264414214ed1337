"""Rules of listeners (contract 1.11)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import cast

from hydria.model.errors import Invalid, validation
from hydria.model.listener import HEADERS, SSL_HEADERS, Listener
from hydria.model.rules import draft, tls
from hydria.model.rules.deployment import Deployment
from hydria.model.statuses import ClientAuthentication, ListenerProtocol

_SECRETS = ("default_tls_container_ref", "client_ca_tls_container_ref", "client_crl_container_ref")
_CERTIFICATES = (*_SECRETS, "sni_container_refs", "client_authentication")
_TAKES_HEADERS = (ListenerProtocol.HTTP, ListenerProtocol.TERMINATED_HTTPS)
_TAKES_CERTIFICATES = (ListenerProtocol.TERMINATED_HTTPS, ListenerProtocol.PROMETHEUS)


def listener_created(
    values: Mapping[str, object],
    vip_addresses: Sequence[str],
    deployment: Deployment,
    *,
    vip_sg_ids: Sequence[str] = (),
) -> dict[str, object]:
    """A new listener's values, TLS settings filled in where it terminates TLS, for metrics, too.

    Without ``vip_addresses`` (not known yet) the families of CIDRs are not judged. ``vip_sg_ids``: the load
    balancer's own security groups.
    """
    completed = _tidied(values)
    listener = draft.created(Listener, completed)
    _protocol_allowed(listener.protocol, deployment)
    _headers_fit(listener)
    if listener.transport != "TCP" and _wants_tls(completed):
        raise validation(f"{listener.protocol} protocol listener does not support TLS.")
    _certificates_fit(listener)
    _children_allowed(listener)
    _cidrs_fit(listener, vip_addresses, vip_sg_ids)
    tls.judge(completed, deployment.limits)
    _hsts_created(listener)
    _compression_fits(listener)
    if _terminates(listener):
        for setting, default in deployment.listener_tls.items():
            if completed.get(setting) is None:
                completed[setting] = default
    tls.judge_together(draft.created(Listener, completed), values)
    return completed


def listener_updated(
    listener: Listener,
    changes: Mapping[str, object],
    vip_addresses: Sequence[str],
    deployment: Deployment,
    *,
    vip_sg_ids: Sequence[str] = (),
) -> dict[str, object]:
    """A listener's changes; null sets a TLS setting back to its default, whatever the protocol [Q].

    One that begins to terminate TLS gets those that it has not.
    """
    completed = _tidied(changes)
    future = draft.updated(listener, completed)
    if listener.transport != "TCP" and (_wants_tls(completed) or completed.get("insert_headers")):
        raise validation(f"{listener.protocol} protocol listener does not support TLS or header insertion.")
    if "insert_headers" in completed:
        _headers_fit(future)
    if any(field in completed for field in _CERTIFICATES):
        _certificates_fit(future)
    if "default_pool_id" in completed:
        _children_allowed(future)
    if "allowed_cidrs" in completed:
        _cidrs_fit(future, vip_addresses, vip_sg_ids)
    tls.judge(completed, deployment.limits)
    _hsts_updated(future, completed)
    _compression_fits(future)
    switched_on = _terminates(future) and not _terminates(listener)
    for setting, default in deployment.listener_tls.items():
        nulled = setting in completed and completed[setting] is None
        unset = setting not in completed and getattr(listener, setting) is None
        if nulled or (switched_on and unset):
            completed[setting] = default
    tls.judge_together(draft.updated(listener, completed), changes)
    return completed


def _compression_fits(listener: Listener) -> None:
    if listener.compression and listener.protocol not in _TAKES_HEADERS:
        raise validation(f"compression is not for listeners of the protocol {listener.protocol}.")


def _tidied(values: Mapping[str, object]) -> dict[str, object]:
    """A copy in which an empty reference is none."""
    completed = draft.without_empty(values, (*_SECRETS, "tls_ciphers"))
    if "sni_container_refs" in completed:
        references = cast("list[str]", completed["sni_container_refs"])
        completed["sni_container_refs"] = [reference for reference in references if reference]
    return completed


def _protocol_allowed(protocol: ListenerProtocol, deployment: Deployment) -> None:
    allowed = {
        ListenerProtocol.TERMINATED_HTTPS: deployment.allow_tls_terminated_listeners,
        ListenerProtocol.PROMETHEUS: deployment.allow_prometheus_listeners,
    }
    if not allowed.get(protocol, True):
        raise Invalid(f"The selected protocol is not allowed in this deployment: {protocol}")


def _headers_fit(listener: Listener) -> None:
    names = list(listener.insert_headers)
    if not names:
        return
    if listener.protocol not in _TAKES_HEADERS:
        raise Invalid(f"insert-headers is not a valid option for a {listener.protocol} protocol listener.")
    unknown = [name for name in names if name not in HEADERS and name not in SSL_HEADERS]
    if unknown:
        raise Invalid(f"{unknown} is not a valid option for insert_headers")
    of_tls = [name for name in names if name in SSL_HEADERS]
    if of_tls and listener.protocol is not ListenerProtocol.TERMINATED_HTTPS:
        raise Invalid(f"{of_tls} is not a valid option for {listener.protocol} protocol listener.")


def _wants_tls(values: Mapping[str, object]) -> bool:
    return any(values.get(field) for field in (*_SECRETS, "sni_container_refs", *tls.SETTINGS)) or (
        values.get("client_authentication") not in (None, ClientAuthentication.NONE)
    )


def _certificates_fit(listener: Listener) -> None:
    certificates = bool(listener.default_tls_container_ref or listener.sni_container_refs)
    if certificates and listener.protocol not in _TAKES_CERTIFICATES:
        raise validation(
            f"Certificate container references are not allowed on {listener.protocol} protocol listeners."
        )
    if listener.protocol is ListenerProtocol.TERMINATED_HTTPS and not certificates:
        raise validation(
            "An SNI or default certificate container reference must be provided "
            f"for {listener.protocol} protocol listeners."
        )
    if listener.client_ca_tls_container_ref and not certificates:
        raise validation(
            "An SNI or default certificate container reference must be provided "
            "with a client CA container reference."
        )
    if listener.client_ca_tls_container_ref:
        return
    if listener.client_authentication is not ClientAuthentication.NONE:
        raise validation(
            f"Client authentication setting {listener.client_authentication} "
            "requires a client CA container reference."
        )
    if listener.client_crl_container_ref:
        raise validation(
            "A client authentication CA reference is required "
            "to specify a client authentication revocation list."
        )


def _terminates(listener: Listener) -> bool:
    return listener.protocol in _TAKES_CERTIFICATES and bool(
        listener.default_tls_container_ref or listener.sni_container_refs
    )


def _children_allowed(listener: Listener) -> None:
    if listener.protocol is ListenerProtocol.PROMETHEUS and listener.default_pool_id:
        raise Invalid(f"Protocol {listener.protocol} listeners cannot have child objects.")


def _cidrs_fit(listener: Listener, vip_addresses: Sequence[str], vip_sg_ids: Sequence[str]) -> None:
    if not listener.allowed_cidrs:
        return
    if vip_sg_ids:
        raise validation("Allowed CIDRs are not allowed when using custom VIP Security Groups.")
    families = {ipaddress.ip_address(address).version for address in vip_addresses}
    for cidr in listener.allowed_cidrs:
        if families and ipaddress.ip_network(cidr).version not in families:
            raise validation(
                f"CIDR {cidr} IP version incompatible with all VIPs {list(vip_addresses)} IP version."
            )


def _hsts_created(listener: Listener) -> None:
    if listener.hsts_max_age is None:
        if listener.hsts_include_subdomains or listener.hsts_preload:
            raise validation(
                "HSTS configuration options hsts_include_subdomains and hsts_preload only make sense "
                "if hsts_max_age is set as well."
            )
        return
    _hsts_allowed(listener)


def _hsts_updated(listener: Listener, changes: Mapping[str, object]) -> None:
    # Only what the request switches on is judged: hsts_max_age null turns HSTS off and keeps its options.
    if changes.get("hsts_max_age") is not None:
        _hsts_allowed(listener)
    switched_on = changes.get("hsts_include_subdomains") or changes.get("hsts_preload")
    if switched_on and listener.hsts_max_age is None:
        raise validation(
            "Cannot enable hsts_include_subdomains or hsts_preload if hsts_max_age was not set as well."
        )


def _hsts_allowed(listener: Listener) -> None:
    if listener.protocol is not ListenerProtocol.TERMINATED_HTTPS:
        raise validation(
            "The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol."
        )
