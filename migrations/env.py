"""How Alembic runs the scripts: on the connection and in the transaction the catalog gives."""

from __future__ import annotations

from alembic import context

from photoindex.catalog.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by building it anew
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
