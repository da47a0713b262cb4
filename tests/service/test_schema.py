"""The application against its own OpenAPI document: requests that fit it, and that do not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import Served, begin, served

from heredity.service.app import app
from heredity.service.wire import MEDIA


@schemathesis.serializer(MEDIA)
def _as_it_is(context: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(app(":memory:").openapi())
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service of one study, one of whose trials runs."""
    storage = tmp_path_factory.mktemp("served")
    begin(storage)
    with served(storage) as service:
        with contextlib.closing(service.client()) as client:
            client.suggest("toy", "somebody")
        yield service


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_makes_the_service_fail(
    service: Served, session: requests.Session, label: str
) -> None:
    operation = OPERATIONS[label]
    modes = schemathesis.GenerationMode

    @settings(max_examples=15, phases=[Phase.generate])
    @given(
        case=st.one_of(
            operation.as_strategy(generation_mode=modes.POSITIVE),
            operation.as_strategy(generation_mode=modes.NEGATIVE),
        ),
        known=st.booleans(),
    )
    def holds(case: schemathesis.Case, known: bool) -> None:
        if known and "study" in case.path_parameters:
            case.path_parameters["study"] = "toy"
        answer = case.call(base_url=service.url, session=session)
        case.validate_response(answer, checks=CHECKS)

    holds()


def test_the_reference_names_every_operation() -> None:
    assert len(OPERATIONS) > 10
