"""Photos that a concept has yet to be scored on, and a small index of tags that users rejected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unscored",
        sa.Column("concept_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("photo_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["concept_id"], ["concepts.id"], name=op.f("fk_unscored_concept_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_unscored_model_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["photo_id"], ["photos.id"], name=op.f("fk_unscored_photo_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("concept_id", "model_id", "photo_id", name=op.f("pk_unscored")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_unscored_photo_id"), "unscored", ["photo_id"], unique=False)
    op.create_index(
        "ix_photo_tags_rejected",
        "photo_tags",
        ["tag_id", "photo_id"],
        unique=False,
        sqlite_where=sa.text("source = 'user' AND probability = 0"),
    )
