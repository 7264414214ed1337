"""Schema migrations (Alembic). A database is brought up to date by ``hydria db upgrade``.

Migrations only add while a release is rolled out: the code of the release before must run on the new schema.
"""
