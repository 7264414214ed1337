"""The database: tables derived from the model's declarations, and the queries that the programs need.

One code for SQLite, MariaDB and PostgreSQL. Callers open a :meth:`Store.read` or hand a function to
:meth:`Store.transact`; what a database that is away says becomes :class:`~hydria.model.errors.Unavailable`.
"""

from hydria.store.engine import Store

__all__ = ["Store"]
