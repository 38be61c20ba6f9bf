"""The workspace's database: all SQL is here.

`connection` opens the DuckDB file briefly and waits for other processes; `migrations` is the schema with its public
views; `suites`, `runs`, `dynamics` and `subsets` read and write. Functions take an open connection, so that a caller
can put several into one transaction.
"""

from ftft_core.store.connection import Connection, Database, open_database

__all__ = ["Connection", "Database", "open_database"]
