"""RFC 3161 time-stamps with RFC 5816: a token, its signature, and the whole judgement of both.

The signer's certificate is the one that the signature binds by its hash (ESSCertID, ESSCertIDv2), never the first in
the bag.
"""

import datetime
import hashlib
import re
from dataclasses import dataclass

from cryptography import x509

from . import der
from .algorithms import Algorithm, Refused, Unsupported, scheme
from .certificates import CertificateId, Search, find_extension, public_key, raw_extension, read_certificate
from .der import Fields, Value
from .faults import Malformed

MAX_RESPONSE_BYTES = 132 << 10
MAX_CERTIFICATES = 32

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE, _SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"


@dataclass(frozen=True)
class Claims:
    """TSTInfo (RFC 3161, 2.4.2). Worth nothing until verified."""

    gen_time: datetime.datetime
    accuracy_s: float | None
    digest: str
    imprint: bytes
    serial: int
    policy: str
    authority: Value | None


@dataclass(frozen=True)
class Token:
    claims: Claims
    content: bytes
    certificates: list[x509.Certificate]
    signer: Value
    digests: set[str]


def parse_response(data: bytes) -> Token:
    """Reads a TimeStampResp that grants a token; `Malformed` when it is not one, `Refused` when it grants none."""
    if len(data) > MAX_RESPONSE_BYTES:
        raise Malformed("a time-stamp that is too long")
    fields = der.one(data).fields()
    info = fields.next().fields()
    status = info.next().integer()
    if status not in (0, 1):
        raise Refused(f"the authority granted nothing: status {status}")
    token = fields.next()
    fields.end()
    return _token(token)


def _token(value: Value) -> Token:
    fields = value.fields()
    if fields.next().oid() != _SIGNED_DATA:
        raise Malformed("the token is not signed data")
    outer = Fields(fields.next().expect(0xA0).content)
    fields.end()
    data = outer.next().fields()
    outer.end()
    if data.next().integer() not in (3, 4, 5):
        raise Malformed("signed data of an unknown version")
    digests = {Algorithm.read(one).oid for one in Fields(data.next().expect(der.SET).content).rest(8)}
    encapsulated = data.next().fields()
    if encapsulated.next().oid() != _TST_INFO:
        raise Malformed("what is signed is not a time-stamp")
    wrapped = Fields(encapsulated.next().expect(0xA0).content)
    content = wrapped.next().expect(der.OCTET_STRING).content
    wrapped.end()
    encapsulated.end()
    bag = data.optional(0xA0)
    certificates = []
    for one in Fields(bag.content).rest(MAX_CERTIFICATES) if bag else ():
        # Anybody can put anything there: what does not read as a certificate only cannot be chosen.
        try:
            certificates.append(read_certificate(one.encoded))
        except Malformed:
            pass
    data.optional(0xA1)
    signers = list(Fields(data.next().expect(der.SET).content).rest(8))
    data.end()
    if len(signers) != 1:
        raise Malformed(f"{len(signers)} signers where one must be")
    return Token(_claims(content), content, certificates, signers[0], digests)


def _claims(content: bytes) -> Claims:
    fields = der.one(content).fields()
    if fields.next().integer() != 1:
        raise Malformed("a time-stamp of an unknown version")
    policy = fields.next().oid()
    imprint = fields.next().fields()
    digest = Algorithm.read(imprint.next()).digest()
    hashed = imprint.next().expect(der.OCTET_STRING).content
    imprint.end()
    if len(hashed) != hashlib.new(digest).digest_size:
        raise Malformed("an imprint of the wrong length")
    serial = fields.next()
    if len(serial.content) > 64:
        raise Malformed("a serial number that is too long")
    gen_time = _time(fields.next().expect(der.GENERALIZED_TIME).content)
    accuracy = fields.optional(der.SEQUENCE)
    ordering = fields.optional(der.BOOLEAN)
    if ordering is not None and not ordering.boolean():
        raise Malformed("a default that is written out")
    nonce = fields.optional(der.INTEGER)
    if nonce is not None:
        nonce.integer()
    authority = fields.optional(0xA0)
    extensions = fields.optional(0xA1)
    fields.end()
    for extension in Fields(extensions.content).rest(16) if extensions else ():
        parts = extension.fields()
        oid = parts.next().oid()
        critical = parts.optional(der.BOOLEAN)
        if critical is not None and critical.boolean():
            raise Refused(f"the time-stamp has the unknown critical extension {oid}")
    return Claims(gen_time, _accuracy(accuracy) if accuracy else None, digest, hashed, serial.integer(), policy,
                  der.one(authority.content) if authority else None)


def _time(content: bytes) -> datetime.datetime:
    """GeneralizedTime as RFC 3161 demands it: UTC, a fraction without trailing zeros."""
    found = re.fullmatch(rb"(\d{14})(?:\.(\d{0,17}[1-9]))?Z", content, re.ASCII)
    if not found:
        raise Malformed("a time that is not written as DER demands")
    try:
        time = datetime.datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=datetime.timezone.utc)
    except ValueError as error:
        raise Malformed("a time that is not in the calendar") from error
    return time + datetime.timedelta(microseconds=int((found[2] or b"0").ljust(6, b"0")[:6]))


def _accuracy(value: Value) -> float:
    fields, seconds = value.fields(), 0.0
    whole = fields.optional(der.INTEGER)
    if whole is not None:
        seconds += whole.integer()
    for tag, unit in ((0x80, 1e-3), (0x81, 1e-6)):
        part = fields.optional(tag)
        if part is not None:
            number = Value(der.INTEGER, part.content, part.encoded).integer()
            if not 1 <= number <= 999:
                raise Malformed("an accuracy that is out of bounds")
            seconds += number * unit
    fields.end()
    if seconds < 0:
        raise Malformed("a negative accuracy")
    return seconds


# --- the judgement


@dataclass(frozen=True)
class Verified:
    claims: Claims
    chain: list[x509.Certificate]


def verify(token: Token, digest: str, imprint: bytes, roots: list[x509.Certificate],
           also: list[x509.Certificate] = ()) -> Verified:
    """Everything there is to verify; `roots` are the auditor's own, `also` may lie between.

    `Malformed` or `Refused` when the token does not hold, `NotTrusted` when it does and not for this auditor.
    """
    claims = token.claims
    fields = token.signer.fields()
    version = fields.next().integer()
    identifier = fields.next()
    digest_algorithm = Algorithm.read(fields.next())
    if digest_algorithm.oid not in token.digests:
        raise Refused("the signer's hash function is not among those of the signed data")
    signed_digest = digest_algorithm.digest()
    attributes = fields.optional(0xA0)
    signature_algorithm = Algorithm.read(fields.next())
    signature = fields.next().expect(der.OCTET_STRING).content
    fields.optional(0xA1)
    fields.end()
    if version != (3 if identifier.tag == 0x80 else 1):
        raise Refused("a signer of the wrong version")
    if attributes is None:
        raise Refused("nothing is signed but the content: the certificate is not bound")
    found = _attributes(attributes)
    if _only(found, _CONTENT_TYPE, "content-type").oid() != _TST_INFO:
        raise Refused("the signed content type is not a time-stamp's")
    if _only(found, _MESSAGE_DIGEST, "message-digest").expect(der.OCTET_STRING).content != hashlib.new(
            signed_digest, token.content).digest():
        raise Refused("the signature is over another content")
    bindings = _bindings(found)
    signed_with = scheme(signature_algorithm, signed_digest)
    if signed_with.digest not in (None, signed_digest):
        raise Refused("the signature is with another hash function than the content")
    if signed_digest == "sha1":
        raise Unsupported("the signature rests on SHA-1")

    between = list(also) + token.certificates
    signer = _signer(identifier, bindings, between + roots)
    # The attributes are signed as the SET that they are (RFC 5652, 5.4).
    if not signed_with.verify(public_key(signer), b"\x31" + attributes.encoded[1:], signature):
        raise Refused("the signature is not the authority's")
    chain = Search(roots, between, claims.gen_time, bindings).from_signer(signer)
    _check_name(claims.authority, signer)
    if claims.digest != digest:
        raise Unsupported(f"its imprint is made with {claims.digest}")
    if claims.imprint != imprint:
        raise Refused("the time-stamp is for something else")
    if claims.digest == "sha1":
        raise Unsupported("the imprint rests on SHA-1")
    return Verified(claims, chain)


def _attributes(value: Value) -> list[tuple[str, list[Value]]]:
    found = []
    for attribute in der.sorted_set(value, 32):
        fields = attribute.fields()
        kind = fields.next().oid()
        values = der.sorted_set(fields.next().expect(der.SET), 32)
        fields.end()
        found.append((kind, values))
    return found


def _optional(attributes, kind: str, name: str) -> Value | None:
    found = [values for one, values in attributes if one == kind]
    if not found:
        return None
    if len(found) != 1 or len(found[0]) != 1:
        raise Refused(f"the attribute {name} does not stand there once")
    return found[0][0]


def _only(attributes, kind: str, name: str) -> Value:
    value = _optional(attributes, kind, name)
    if value is None:
        raise Refused(f"the attribute {name} is missing")
    return value


def _bindings(attributes) -> list[list[CertificateId]]:
    """The signing-certificate attributes, of both versions where both are there: each must hold."""
    bindings = []
    for kind, version in ((_SIGNING_CERTIFICATE, 1), (_SIGNING_CERTIFICATE_V2, 2)):
        value = _optional(attributes, kind, "signing-certificate")
        if value is not None:
            fields = value.fields()
            bindings.append([_certificate_id(one, version) for one in Fields(fields.next().expect(der.SEQUENCE).content)
                             .rest(MAX_CERTIFICATES)])
            fields.optional(der.SEQUENCE)
            fields.end()
    if not bindings or not all(bindings):
        raise Refused("the attribute signing-certificate is missing or names none")
    return bindings


def _certificate_id(value: Value, version: int) -> CertificateId:
    fields = value.fields()
    digest = "sha1" if version == 1 else "sha256"
    if version == 2 and fields.peek() == der.SEQUENCE:
        digest = Algorithm.read(fields.next()).digest()
    hashed = fields.next().expect(der.OCTET_STRING).content
    issuer = serial = None
    if fields:
        parts = fields.next().fields()
        names = list(Fields(parts.next().expect(der.SEQUENCE).content).rest(MAX_CERTIFICATES))
        serial = parts.next().integer()
        parts.end()
        # [4] directoryName, the only kind that a certificate's issuer is.
        issuer = names[0].content if len(names) == 1 and names[0].tag == 0xA4 else b""
    fields.end()
    return CertificateId(digest, hashed, issuer, serial)


def _signer(identifier: Value, bindings, candidates: list[x509.Certificate]) -> x509.Certificate:
    if identifier.tag == 0x80:
        def is_named(certificate):
            extension = find_extension(certificate, x509.SubjectKeyIdentifier)
            return extension is not None and extension.value.digest == identifier.content
    else:
        fields = identifier.fields()
        issuer, serial = fields.next().encoded, fields.next().integer()
        fields.end()

        def is_named(certificate):
            return (certificate.issuer.public_bytes(), certificate.serial_number) == (issuer, serial)
    named = [certificate for certificate in candidates if is_named(certificate)]
    for certificate in named:
        if all(ids[0].names(certificate) for ids in bindings):
            return certificate
    if not named:
        raise Unsupported("the certificate that the signature binds is not there")
    raise Refused("the signer's certificate is not the one that the signature binds")


def _check_name(authority: Value | None, signer: x509.Certificate) -> None:
    """RFC 3161, 2.4.2: the name in the token, if there is one, is a subject name of the certificate."""
    if authority is None:
        return
    if authority.tag == 0xA4:
        name = der.one(authority.content).encoded
        if name == signer.subject.public_bytes():
            return
        # Some authorities spell their name in another string type: it is compared as it reads.
        if _as_read(name) == _as_read(signer.subject.public_bytes()):
            return
    names = der.one(raw_extension(signer, "2.5.29.17")) if raw_extension(signer, "2.5.29.17") else None
    if names is not None and any(one.encoded == authority.encoded for one in Fields(names.content).rest(64)):
        return
    raise Refused("the authority's name in the token is not that of its certificate")


def _as_read(name: bytes) -> list[list[tuple[str, bytes]]]:
    read = []
    for part in Fields(der.one(name).content).rest(64):
        attributes = []
        for attribute in Fields(part.content).rest(16):
            fields = attribute.fields()
            attributes.append((fields.next().oid(), fields.next().content))
        read.append(sorted(attributes))
    return read
