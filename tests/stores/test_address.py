"""A `storage` argument is told apart, printed without a password, and given a folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.stores.address import folder_of, scheme_of, shown


@pytest.mark.parametrize(
    ("storage", "scheme"),
    [
        ("runs", ""),
        (":memory:", ""),
        (Path("/a:b/c"), ""),
        ("postgresql://host/db", "postgresql"),
        ("s3://bucket", "s3"),
    ],
)
def test_schemes(storage: str | Path, scheme: str) -> None:
    assert scheme_of(storage) == scheme


@pytest.mark.parametrize(
    ("storage", "printed"),
    [
        ("runs", "runs"),
        (Path("runs"), "runs"),
        ("/home/a:b@c", "/home/a:b@c"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:pw@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p@w@host/db", "postgresql://me:***@host/db"),
        ("postgresql:///db?user=me&password=pw&x=1", "postgresql:///db?user=me&password=***&x=1"),
        ("postgresql:///db?sslpassword=pw", "postgresql:///db?sslpassword=***"),
    ],
)
def test_a_password_is_not_printed(storage: str | Path, printed: str) -> None:
    assert shown(storage) == printed


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1))
def test_no_password_whatever_is_printed(password: str) -> None:
    assert shown(f"postgresql://me:{password}@host/db") == "postgresql://me:***@host/db"


def test_a_folder_holds_the_files_of_its_studies() -> None:
    assert folder_of("digits", "runs") == Path.cwd() / "runs" / "digits"
    assert folder_of("digits", Path("/data")) == Path("/data/digits")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:pw@db.example.org:5433/pbt", "db.example.org-5433-pbt"),
        ("postgresql://me@one,two/pbt?target_session_attrs=read-write", "one-two-pbt"),
        ("postgresql:///pbt", "localhost-pbt"),
        ("postgresql://%2Frun%2Fpostgresql/pbt", "2Frun-2Fpostgresql-pbt"),
        ("postgresql:///pbt?host=/run/postgresql&password=pw", "run-postgresql-pbt"),
        ("postgresql://me:..%2F..@../../../db", "db"),
    ],
)
def test_a_server_has_a_folder_for_each_database(url: str, name: str) -> None:
    assert folder_of("digits", url) == Path.cwd() / "runs" / name / "digits"


def test_databases_of_two_servers_do_not_share_a_folder() -> None:
    one, two = (folder_of("s", f"postgresql://{host}/db") for host in ("one", "two"))
    assert one != two
