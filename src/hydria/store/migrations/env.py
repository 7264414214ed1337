"""How Alembic runs a migration; the connection comes from :mod:`hydria.store.schema`."""

from alembic import context

from hydria.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by making another one
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
