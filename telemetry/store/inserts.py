"""The one INSERT that both backends use."""

from collections.abc import Sequence

from telemetry.store.base import Block

# One block an insert, whatever the server's defaults: deduplication counts blocks, not inserts (docs/architecture.md).
_SETTINGS = (
    "max_insert_threads = 1, max_threads = 1, insert_deduplicate = 1, async_insert = 0, "
    "deduplicate_blocks_in_dependent_materialized_views = 1, "
    "max_block_size = 4000000, max_insert_block_size = 4000000, "
    "min_insert_block_size_rows = 4000000, min_insert_block_size_bytes = 4000000000, "
    "input_format_parallel_parsing = 0, preferred_block_size_bytes = 0, max_read_buffer_size = 1048576"
)


def insert_statement(target: str, block: Block, path: str) -> str:
    """INSERT of ``block``, with its Arrow bytes under ``path``, into ``target``: a table or ``FUNCTION remote()``."""
    names = ", ".join(f"`{name}`" for name in block.columns)
    token = block.token.replace("\\", "\\\\").replace("'", "\\'")
    return (
        f"INSERT INTO {target} ({names}) SELECT {names} FROM file('{path}', 'Arrow') "  # noqa: S608 - names are ours
        f"SETTINGS {_SETTINGS}, insert_deduplication_token = '{token}'"
    )


def drive_again_statement(table: str, columns: Sequence[str], place: str, token: str) -> str:
    """INSERT of rows that ``table`` has (those in ``place``, a condition) into ``table`` itself, with the token they came with.

    The table drops them; a view that missed them when a crash cut the first insert short gets them.
    """
    names = ", ".join(f"`{name}`" for name in columns)
    quoted = token.replace("\\", "\\\\").replace("'", "\\'")
    return (
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE {place} "  # noqa: S608 - names are ours
        f"SETTINGS {_SETTINGS}, insert_deduplication_token = '{quoted}'"
    )
