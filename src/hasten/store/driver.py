"""Checks that the driver of a database is installed, without connecting to the database."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from hasten.errors import InputError
from hasten.store.database import MEMORY, storage_url

PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "mysqldb": "mysqlclient",
    "mysqlconnector": "mysql-connector-python",
    "mariadbconnector": "mariadb",
    "cx_oracle": "cx_Oracle",
}
"""The packages of drivers that SQLAlchemy calls by another name."""


def check_storage(storage: str | None) -> None:
    """Raises InputError where SQLAlchemy does not know the kind of database of the URL, or its driver is not
    installed."""
    url = storage_url(storage)
    if url == MEMORY:
        return
    try:
        dialect = make_url(url).get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise InputError(
            f"The store of trials {url!r} cannot be opened: {error}. Give --storage the path of an SQLite file, "
            "or the URL of a database such as postgresql://user@host/name."
        ) from None
    try:
        dialect.import_dbapi()
    except ImportError:
        driver = dialect.driver
        raise InputError(
            f"The store of trials {url!r} cannot be opened: its driver {driver} is not installed. "
            f"Install it by: pip install '{PACKAGES.get(driver, driver)}'."
        ) from None
