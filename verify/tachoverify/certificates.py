"""Certificates, and the chain of them from an authority's signer to a root that the auditor named (RFC 5280, section 6).

They are judged at the time in the token; nothing that came with a token is believed. Revocation is not judged.
"""

import datetime
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from . import der
from .algorithms import Algorithm, NotTrusted, OutsideChain, Refused, Unsupported, scheme
from .der import Fields
from .faults import Malformed

MAX_CERTIFICATE_BYTES = 16 << 10
MAX_CHAIN = 8
_MAX_SIGNATURE_CHECKS = 64
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_TIME_STAMPING, _ANY_USAGE = "1.3.6.1.5.5.7.3.8", "2.5.29.37.0"


def read_certificate(data: bytes) -> x509.Certificate:
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise Malformed("a certificate that is too long")
    try:
        certificate = x509.load_der_x509_certificate(data)
        # Read now what is judged later, so that a certificate that does not read is none.
        certificate.extensions, certificate.subject, certificate.issuer, certificate.serial_number  # noqa: B018
        _validity(certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Malformed(f"a certificate that does not read: {error}") from error
    fields = der.one(data).fields()
    for _ in range(3):
        fields.next()
    fields.end()
    return certificate


def read_pem(data: bytes) -> list[x509.Certificate]:
    """Every certificate of a PEM file."""
    blocks, end = [], 0
    # Each byte is looked at once: a file of nothing but beginnings must not take hours.
    while (start := data.find(_BEGIN, end)) >= 0 and (stop := data.find(_END, start + len(_BEGIN))) >= 0:
        end = stop + len(_END)
        blocks.append(data[start:end] + b"\n")
    try:
        found = [x509.load_pem_x509_certificate(block) for block in blocks]
    except ValueError as error:
        raise Malformed(f"a certificate that does not read: {error}") from error
    if not found:
        raise Malformed("no certificate in the PEM file")
    return [read_certificate(_encoded(one)) for one in found]


def _encoded(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _validity(certificate: x509.Certificate) -> tuple[datetime.datetime, datetime.datetime]:
    if hasattr(certificate, "not_valid_before_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    utc = datetime.timezone.utc
    return certificate.not_valid_before.replace(tzinfo=utc), certificate.not_valid_after.replace(tzinfo=utc)


def find_extension(certificate: x509.Certificate, kind):
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def public_key(certificate: x509.Certificate):
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, TypeError):
        return None


def raw_extension(certificate: x509.Certificate, oid: str) -> bytes | None:
    """The value of an extension as it is encoded."""
    tbs = der.one(certificate.tbs_certificate_bytes).fields()
    while tbs:
        value = tbs.next()
        if value.tag == 0xA3:
            for extension in Fields(der.one(value.content).content).rest(64):
                fields = extension.fields()
                if fields.next().oid() == oid:
                    fields.optional(der.BOOLEAN)
                    return fields.next().expect(der.OCTET_STRING).content
    return None


# --- the chain


@dataclass(frozen=True)
class CertificateId:
    digest: str
    hash: bytes
    issuer: bytes | None
    serial: int | None

    def names(self, certificate: x509.Certificate) -> bool:
        encoded = _encoded(certificate)
        if hashlib.new(self.digest, encoded).digest() != self.hash:
            return False
        return self.serial is None or (self.issuer, self.serial) == (certificate.issuer.public_bytes(),
                                                                     certificate.serial_number)


class Search:
    """From the signer's certificate to a pinned root (RFC 5280, section 6, at the time in the token)."""

    def __init__(self, roots, between, at: datetime.datetime, bindings):
        self._roots, self._between, self._at, self._bindings = roots, between, at, bindings
        self._checks = 0

    def from_signer(self, signer: x509.Certificate) -> list[x509.Certificate]:
        _may_stamp(signer)
        self._may_be_used(signer)
        return self._extend([signer])

    def _extend(self, path: list[x509.Certificate]) -> list[x509.Certificate]:
        last = path[-1]
        if last in self._roots:
            # Certificates named after the signer's restrict the chain to themselves (RFC 5035, section 4).
            if not all(any(one.names(certificate) for certificate in path) for ids in self._bindings for one in ids):
                raise OutsideChain("the signature binds a certificate that is not in the chain")
            return path
        if len(path) == MAX_CHAIN:
            raise Refused("the chain is too long")
        why: Exception = NotTrusted(f"the chain ends at {last.issuer.rfc4514_string()}, whose key is that of no root given")
        for issuer in self._roots + self._between:
            if issuer.subject != last.issuer or issuer in path:
                continue
            # Names are anybody's: one of that name whose key did not sign is not the issuer.
            if not self._signed_by(issuer, last):
                continue
            try:
                self._may_issue(issuer, path)
                return self._extend([*path, issuer])
            except (Refused, NotTrusted) as error:
                if isinstance(why, NotTrusted):
                    why = error
        raise why

    def _signed_by(self, issuer, issued) -> bool:
        self._checks += 1
        if self._checks > _MAX_SIGNATURE_CHECKS:
            raise Refused("too many certificates of one name")
        fields = der.one(_encoded(issued)).fields()
        fields.next()
        signed_with = scheme(Algorithm.read(fields.next()), None)
        if signed_with.digest == "sha1":
            raise Unsupported("the signature of a certificate rests on SHA-1")
        return signed_with.verify(public_key(issuer), issued.tbs_certificate_bytes, issued.signature)

    def _may_issue(self, issuer, path) -> None:
        constraints = find_extension(issuer, x509.BasicConstraints)
        if constraints is None or not constraints.value.ca:
            raise Refused(f"{_name(issuer)} is no authority")
        between = sum(one.subject != one.issuer for one in path[1:])
        if constraints.value.path_length is not None and between > constraints.value.path_length:
            raise Refused(f"{_name(issuer)} allows no chain of that length")
        usage = find_extension(issuer, x509.KeyUsage)
        if usage is not None and not usage.value.key_cert_sign:
            raise Refused(f"{_name(issuer)} may not sign certificates")
        usages = find_extension(issuer, x509.ExtendedKeyUsage)
        if usages is not None and not {_TIME_STAMPING, _ANY_USAGE} & {one.dotted_string for one in usages.value}:
            raise Refused(f"{_name(issuer)} is not for time-stamping")
        self._may_be_used(issuer)

    def _may_be_used(self, certificate) -> None:
        known = {"2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.18", "2.5.29.19", "2.5.29.32", "2.5.29.35", "2.5.29.37"}
        for extension in certificate.extensions:
            if extension.critical and extension.oid.dotted_string not in known:
                raise Refused(f"{_name(certificate)} has the unknown critical extension {extension.oid.dotted_string}")
        begins, ends = _validity(certificate)
        # A certificate is valid to the end of its last second, and validity knows no fractions.
        if not begins <= self._at <= ends:
            raise Refused(f"{_name(certificate)} was not valid at {self._at.isoformat()}")


def _may_stamp(signer: x509.Certificate) -> None:
    """RFC 3161, 2.3: for time-stamping, critically, and for nothing else."""
    usages = find_extension(signer, x509.ExtendedKeyUsage)
    if usages is None or [one.dotted_string for one in usages.value] != [_TIME_STAMPING] or not usages.critical:
        raise Refused(f"{_name(signer)} is not for time-stamping alone")
    constraints = find_extension(signer, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise Refused(f"{_name(signer)} is an authority for certificates")
    extension = find_extension(signer, x509.KeyUsage)
    if extension is not None:
        usage = extension.value
        more = (usage.key_encipherment or usage.data_encipherment or usage.key_agreement or usage.key_cert_sign
                or usage.crl_sign)
        if more or not (usage.digital_signature or usage.content_commitment):
            raise Refused(f"the key of {_name(signer)} is not for signatures alone")
