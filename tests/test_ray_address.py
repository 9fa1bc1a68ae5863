"""Where a Ray cluster is said to be, looked at before Ray is asked. Needs no Ray."""

import socket

import pytest

from s3fd.commands.detect_ray import _why_no_cluster


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "localhost:{}", "ray://127.0.0.1:{}"])
def test_what_answers_is_left_to_ray(form, port):
    assert _why_no_cluster(form.format(port)) is None


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "localhost:{}", "ray://127.0.0.1:{}"])
def test_where_nothing_answers_there_is_no_cluster(form, port):
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    why_not = _why_no_cluster(form.format(free))
    assert why_not is not None
    assert why_not.startswith(f"nothing answers at {form.format(free)} (")
    assert "ray start --head" in why_not


@pytest.mark.parametrize("address", ["auto", "local"])
def test_names_are_left_to_ray(address):
    assert _why_no_cluster(address) is None


@pytest.mark.parametrize("address", ["127.0.0.1:ray", "127.0.0.1:99999"])
def test_a_port_that_is_none_is_named(address):
    why_not = _why_no_cluster(address)
    assert why_not is not None
    assert why_not.startswith(f"expected an address such as HOST:6379, got {address} (")
