"""``auth_strategy = keystone``: callers are who Keystone says their tokens are.

keystonemiddleware looks at the token before the application sees the request, and says in headers of its own
(having removed what the client put there) whose it is; oslo.context reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon
from keystonemiddleware import audit, auth_token
from oslo_context.context import RequestContext

from hydria.api.call import Caller
from hydria.api.faults import Unauthorized
from hydria.model.errors import Invalid
from hydria.settings import Settings, library_options

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_GROUP = "keystone_authtoken"
# What the middleware leaves in the environment; no client can, since it is no header.
_SEEN = "keystone.token_auth"


def protected(app: WSGIApplication, settings: Settings) -> WSGIApplication:
    """The application behind Keystone's middleware and, if asked for, its audit.

    Raises Invalid without the section that says where Keystone is.
    """
    if settings.audit.enabled:
        app = _audited(app, settings)
    conf = library_options(settings.config_files)
    made: WSGIApplication = auth_token.AuthProtocol(app, {"oslo_config_config": conf})
    if not conf[_GROUP].auth_type and not conf[_GROUP].auth_section:
        raise Invalid(
            f"[api_settings] auth_strategy = keystone needs the section [{_GROUP}]: auth_type (password),"
            " auth_url, username, password, project_name, user_domain_name, project_domain_name and"
            " www_authenticate_uri."
        )
    return made


def identify(request: falcon.Request) -> Caller:
    """Who the token is of."""
    env = request.env
    seen = env.get(_SEEN)
    if seen is None or env.get("HTTP_X_IDENTITY_STATUS") != "Confirmed":
        raise Unauthorized("Keystone")
    context = RequestContext.from_environ(env, overwrite=False)
    return Caller(
        project_id=context.project_id or "",
        user_id=context.user_id or "",
        roles=tuple(context.roles),
        # Not as the header has it: what a service's token is about stands there in place of the user's.
        system_scope="all" if seen.user.system_scoped else "",
        domain_id=context.domain_id or "",
        user_domain_id=context.user_domain_id or "",
        project_domain_id=context.project_domain_id or "",
        service_user_id=context.service_user_id or "",
        service_project_id=context.service_project_id or "",
        service_roles=tuple(context.service_roles),
        token=context.auth_token or "",
    )


def _audited(app: WSGIApplication, settings: Settings) -> WSGIApplication:
    options = settings.audit
    try:
        made: WSGIApplication = audit.AuditMiddleware(
            app,
            audit_map_file=options.audit_map_file,
            ignore_req_list=options.ignore_req_list,
            oslo_config_config=library_options(settings.config_files),
        )
    except (audit.PycadfAuditApiConfigError, OSError) as error:
        raise Invalid(f"[audit] audit_map_file = {options.audit_map_file}: {error}") from error
    return made
