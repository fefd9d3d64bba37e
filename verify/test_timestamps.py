"""Time-stamp tokens: those of trailofbits/rfc3161-client, good and bad, those of a real authority, and broken ones."""

import datetime
import hashlib
import random

import pytest

from authority import KEYS, Authority
from tachoverify import certificates, timestamp
from tachoverify.algorithms import NotTrusted, Refused
from tachoverify.faults import Malformed

GOOD = [
    ("identrust/issue-104.tsr", "sha512", "hello", "2025-03-11T08:52:08+00:00", 3),
    ("sigstage/response-sha256.tsr", "sha256", "hello", "2025-05-09T11:58:55+00:00", 2),
    ("sigstage/response-sha384.tsr", "sha384", "hello", "2025-05-09T11:58:55+00:00", 2),
    ("sigstage/response-sha512.tsr", "sha512", "hello", "2025-05-09T11:58:56+00:00", 2),
    ("sigstage/response-no-embedded-cert.tsr", "sha256", "hello", "2025-06-18T08:13:02+00:00", 2),
    ("sigstore.mock/response-expired.tsr", "sha256", None, "2023-02-01T00:00:00+00:00", 2),
    ("test_tsa/response.tsr", "sha512", "hello", "2024-10-08T15:40:32+00:00", 3),
]


@pytest.fixture(scope="module")
def fixtures(shared):
    return shared / "vectors/rfc3161/test/fixtures"


def trust(folder):
    """The last certificate of the chain is pinned, the others may lie between. One of the files is DER under that name."""
    data = (folder / "ts_chain.pem").read_bytes()
    chain = certificates.read_pem(data) if data.startswith(b"-") else [certificates.read_certificate(data)]
    return chain[-1:], chain[:-1]


def judge(path, digest, data, roots, between):
    token = timestamp.parse_response(path.read_bytes())
    return timestamp.verify(token, digest, hashlib.new(digest, data).digest(), roots, between)


@pytest.mark.parametrize("file, digest, text, time, length", GOOD, ids=lambda value: str(value))
def test_good_ones(fixtures, file, digest, text, time, length):
    path = fixtures / file
    data = text.encode() if text else (fixtures / "sigstore.mock/payload").read_bytes()
    verified = judge(path, digest, data, *trust(path.parent))
    assert verified.claims.gen_time == datetime.datetime.fromisoformat(time)
    assert len(verified.chain) == length
    with pytest.raises(Refused, match="for something else"):
        judge(path, digest, b"other data", *trust(path.parent))


def test_another_root_is_not_trusted(fixtures):
    other, _ = trust(fixtures / "test_tsa")
    with pytest.raises(NotTrusted):
        judge(fixtures / "sigstage/response-sha256.tsr", "sha256", b"hello", other, [])


def test_a_bad_one(fixtures):
    path = fixtures / "sigstage/response-invalid-signature.tsr"
    with pytest.raises(Refused):
        judge(path, "sha256", b"hello", *trust(path.parent))


def test_an_authority_of_the_same_names_is_another(fixtures):
    path = fixtures / "test_tsa/other_response.tsr"
    with pytest.raises(NotTrusted):
        judge(path, "sha512", b"hello", *trust(path.parent))


def test_injected_certificates_change_nothing(fixtures):
    folder = fixtures / "test_tsa"
    clean, injected = (judge(folder / name, "sha512", b"hello", *trust(folder))
                       for name in ("response.tsr", "response-injected-certs.tsr"))
    assert clean.chain == injected.chain and clean.claims.gen_time == injected.claims.gen_time
    bag = timestamp.parse_response((folder / "response-injected-certs.tsr").read_bytes()).certificates
    signer = clean.chain[0]
    for spoofed in bag:
        if spoofed != signer:
            with pytest.raises((NotTrusted, Refused)):
                judge(folder / "response-injected-certs.tsr", "sha512", b"hello", [spoofed], [])


def test_a_token_without_its_certificate_needs_it_from_elsewhere(fixtures):
    path = fixtures / "sigstage/response-no-embedded-cert.tsr"
    roots, _ = trust(path.parent)
    with pytest.raises(Refused, match="is not there"):
        judge(path, "sha256", b"hello", roots, [])


@pytest.mark.parametrize("file, digest", [("sigstage/response-sha256.tsr", "sha256"), ("identrust/issue-104.tsr", "sha512")])
def test_a_changed_token_is_refused_and_never_crashes(fixtures, file, digest):
    """A changed byte may lie in what nobody signed; then the token says what it said before."""
    path = fixtures / file
    roots, between = trust(path.parent)
    whole, imprint = path.read_bytes(), hashlib.new(digest, b"hello").digest()
    right = timestamp.verify(timestamp.parse_response(whole), digest, imprint, roots, between).claims
    chance, refused = random.Random(4), 0
    for _ in range(400):
        broken = bytearray(whole)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        try:
            claims = timestamp.verify(timestamp.parse_response(bytes(broken)), digest, imprint, roots, between).claims
            assert claims.gen_time == right.gen_time and claims.imprint == right.imprint
        except (Malformed, Refused, NotTrusted):
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("ess", ["sha1", "sha256"])
@pytest.mark.parametrize("profile", ["stamp", "other"])
def test_a_real_authority(tmp_path, kind, ess, profile):
    authority = Authority(tmp_path, kind, ess, profile)
    answer = authority.stamp(b"data")
    if answer is None:
        assert profile == "other", "openssl itself asks for a critical extended key usage"
        return
    roots = certificates.read_pem(authority.root.read_bytes())
    token, imprint = timestamp.parse_response(answer), hashlib.sha256(b"data").digest()
    if profile == "other":
        with pytest.raises(Refused):
            timestamp.verify(token, "sha256", imprint, roots)
        return
    verified = timestamp.verify(token, "sha256", imprint, roots)
    assert verified.claims.accuracy_s == 1.5 and len(verified.chain) == 2
    with pytest.raises(Refused):
        timestamp.verify(token, "sha256", hashlib.sha256(b"date").digest(), roots)


def test_a_root_of_the_same_name_is_not_the_issuer(tmp_path):
    authorities = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        authorities.append(Authority(tmp_path / name))
    root, other = (certificates.read_pem(one.root.read_bytes()) for one in authorities)
    assert root[0].subject == other[0].subject
    token, imprint = timestamp.parse_response(authorities[0].stamp(b"data")), hashlib.sha256(b"data").digest()
    with pytest.raises(NotTrusted, match="the chain ends at CN=Root, whose key is that of no root given"):
        timestamp.verify(token, "sha256", imprint, other)
    for roots in (root + other, other + root):
        assert timestamp.verify(token, "sha256", imprint, roots).chain[-1] == root[0]
