"""What transports that listen have in common: whom they serve, tokens, certificates, and how much a peer may send."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core import CodaError
from coda_core.network import Allowance, check_server, is_loopback, tls_context, token_matches


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    check_server(host=host, token=None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "10.0.0.1", "moshi.example", "127.0.0.1.example", ""])
def test_other_addresses_need_a_token_or_insistence(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ValueError, match=r"no token is set; .* insist with allow_without_token = true"):
        check_server(host=host, token=None)
    check_server(host=host, token="secret")
    check_server(host=host, token=None, allow_without_token=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_certificate": Path("a.pem")}, "give both or neither"),
        ({"tls_key": Path("a.pem")}, "give both or neither"),
        ({"allowed_origins": ("https://fine.example", "example.org")}, "'example.org' is no origin"),
        ({"allowed_origins": ("https://example.org/",)}, "is no origin"),
        ({"allowed_origins": ("ftp://example.org",)}, "is no origin"),
        ({"allowed_origins": ("https://",)}, "is no origin"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_server(host="localhost", token=None, **settings)


@given(st.text(), st.lists(st.text()))
def test_a_token_matches_itself_and_nothing_else(expected: str, shown: list[str]) -> None:
    assert token_matches(expected, shown) == (expected in shown)
    assert token_matches(expected, [*shown, expected])


def test_a_certificate_that_cannot_be_used_is_one_message(tmp_path: Path) -> None:
    pairs = []
    for name in "ab":
        certificate, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        pairs.append((certificate, key))
    (certificate, key), (_, other) = pairs
    context = tls_context(certificate, key)
    assert (context.protocol, context.minimum_version) == (ssl.PROTOCOL_TLS_SERVER, ssl.TLSVersion.TLSv1_2)
    for wrong, said in ((tmp_path / "none", "cannot be used: No such file"), (other, "that belong together")):
        with pytest.raises(CodaError, match=said) as refused:
            tls_context(certificate, wrong)
        assert f"the TLS certificate {certificate} and key {wrong} cannot be used" in str(refused.value)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 50)), max_size=50))
def test_never_more_than_the_burst_and_the_rate_allow(takings: list[tuple[float, float]]) -> None:
    now = 0.0
    allowance = Allowance(per_s=3.0, burst=10.0, now=lambda: now)
    taken = 0.0
    for wait, amount in takings:
        now += wait
        if allowance.take(amount):
            taken += amount
        assert taken <= 10.0 + 3.0 * now + 1e-6


def test_who_is_refused_has_taken_nothing_and_who_waits_may_take_again() -> None:
    now = 0.0
    allowance = Allowance(per_s=2.0, burst=4.0, now=lambda: now)
    assert not allowance.take(5.0)
    assert allowance.take(4.0)
    now = 1.0
    assert not allowance.take(2.5)
    assert allowance.take(2.0)
    now = 1_000.0
    assert [allowance.take(4.0), allowance.take(0.5)] == [True, False]


def test_settings_that_are_checked_import_nothing_heavy() -> None:
    program = "import sys; import coda_core.network; print(*sorted({'ssl', 'hashlib', 'numpy'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
