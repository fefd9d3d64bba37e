"""RFC 3161 time-stamps with RFC 5816: the whole judgement of a token.

The signer's certificate is the one that the signature binds by its hash (ESSCertID, ESSCertIDv2), never the first in
the bag; certificates are judged at the time in the token; nothing that came with a token is believed. Revocation is
not judged.
"""

import datetime
import hashlib
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from . import der
from .der import Fields, Value
from .faults import Malformed

MAX_RESPONSE_BYTES = 132 << 10
MAX_CERTIFICATE_BYTES = 16 << 10
MAX_CERTIFICATES = 32
MAX_CHAIN = 8
_MAX_SIGNATURE_CHECKS = 64

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE, _SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
_TIME_STAMPING, _ANY_USAGE = "1.3.6.1.5.5.7.3.8", "2.5.29.37.0"

_DIGESTS = {"1.3.14.3.2.26": "sha1", "2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384",
            "2.16.840.1.101.3.4.2.3": "sha512"}
_HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}
_RSA, _RSA_PSS, _MGF1, _ED25519 = ("1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8",
                                   "1.3.101.112")
_RSA_WITH = {"1.2.840.113549.1.1.5": "sha1", "1.2.840.113549.1.1.11": "sha256", "1.2.840.113549.1.1.12": "sha384",
             "1.2.840.113549.1.1.13": "sha512"}
_ECDSA_WITH = {"1.2.840.10045.4.1": "sha1", "1.2.840.10045.4.3.2": "sha256", "1.2.840.10045.4.3.3": "sha384",
               "1.2.840.10045.4.3.4": "sha512"}


class Refused(Exception):
    """The token does not hold: why."""


class Unsupported(Refused):
    """It rests on what is not supported here, or not any more: nothing can be said for or against it."""


class NotTrusted(Exception):
    """The token is whole, and its chain ends in no root that the auditor named."""


# --- what a token is made of


@dataclass(frozen=True)
class Algorithm:
    oid: str
    parameters: Value | None

    @classmethod
    def read(cls, value: Value) -> "Algorithm":
        fields = value.fields()
        oid = fields.next().oid()
        parameters = fields.next() if fields else None
        fields.end()
        return cls(oid, parameters)

    @property
    def is_plain(self) -> bool:
        return self.parameters is None or self.parameters.encoded == b"\x05\x00"

    def digest(self) -> str:
        if self.oid not in _DIGESTS or not self.is_plain:
            raise Unsupported(f"the hash function {self.oid} is not supported")
        return _DIGESTS[self.oid]


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


# --- certificates


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
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", data, re.DOTALL)
    try:
        found = [x509.load_pem_x509_certificate(b"-----BEGIN CERTIFICATE-----" + block + b"-----END CERTIFICATE-----\n")
                 for block in blocks]
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


def _extension(certificate: x509.Certificate, kind):
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


# --- signatures


@dataclass(frozen=True)
class Scheme:
    kind: str
    digest: str | None

    def verify(self, key, message: bytes, signature: bytes) -> bool:
        try:
            if self.kind == "ed25519":
                if not isinstance(key, ed25519.Ed25519PublicKey):
                    return False
                key.verify(signature, message)
                return True
            algorithm = _HASHES[self.digest]()
            if self.kind == "ecdsa":
                curves = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
                if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, curves):
                    return False
                key.verify(signature, message, ec.ECDSA(algorithm))
                return True
            if not isinstance(key, rsa.RSAPublicKey) or not 2048 <= key.key_size <= 8192:
                return False
            pad = padding.PKCS1v15()
            if self.kind == "rsa-pss":
                pad = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
            key.verify(signature, message, pad, algorithm)
            return True
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            return False


def _scheme(algorithm: Algorithm, digest: str | None) -> Scheme:
    """What an AlgorithmIdentifier names; `digest` is the one that goes with a bare rsaEncryption."""
    if algorithm.oid == _RSA_PSS:
        return Scheme("rsa-pss", _pss_digest(algorithm))
    if not algorithm.is_plain:
        raise Refused("a signature algorithm with parameters it does not have")
    if algorithm.oid == _RSA and digest:
        return Scheme("rsa", digest)
    if algorithm.oid in _RSA_WITH:
        return Scheme("rsa", _RSA_WITH[algorithm.oid])
    if algorithm.oid in _ECDSA_WITH:
        return Scheme("ecdsa", _ECDSA_WITH[algorithm.oid])
    if algorithm.oid == _ED25519:
        return Scheme("ed25519", None)
    raise Unsupported(f"the signature algorithm {algorithm.oid} is not supported")


def _pss_digest(algorithm: Algorithm) -> str:
    """RSASSA-PSS-params (RFC 4055, 3.1), where mask and salt are of the hash function, and it is not SHA-1."""
    if algorithm.parameters is None:
        raise Unsupported("RSA-PSS without its parameters")
    fields = algorithm.parameters.fields()
    parts = [fields.optional(tag) for tag in (0xA0, 0xA1, 0xA2, 0xA3)]
    fields.end()
    inner = [der.one(part.content) if part else None for part in parts]
    if not (inner[0] and inner[1] and inner[2]) or inner[3] and inner[3].integer() != 1:
        raise Unsupported("RSA-PSS with parameters that are not supported")
    digest, mask = Algorithm.read(inner[0]).digest(), Algorithm.read(inner[1])
    if mask.oid != _MGF1 or mask.parameters is None or Algorithm.read(mask.parameters).digest() != digest:
        raise Unsupported("RSA-PSS with parameters that are not supported")
    if digest == "sha1" or inner[2].integer() != hashlib.new(digest).digest_size:
        raise Unsupported("RSA-PSS with parameters that are not supported")
    return digest


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
    scheme = _scheme(signature_algorithm, signed_digest)
    if scheme.digest not in (None, signed_digest):
        raise Refused("the signature is with another hash function than the content")
    if signed_digest == "sha1":
        raise Unsupported("the signature rests on SHA-1")

    between = list(also) + token.certificates
    signer = _signer(identifier, bindings, between + roots)
    # The attributes are signed as the SET that they are (RFC 5652, 5.4).
    if not scheme.verify(_key(signer), b"\x31" + attributes.encoded[1:], signature):
        raise Refused("the signature is not the authority's")
    chain = _Search(roots, between, claims.gen_time, bindings).from_signer(signer)
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
            extension = _extension(certificate, x509.SubjectKeyIdentifier)
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


def _key(certificate: x509.Certificate):
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, TypeError):
        return None


class _Search:
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
                raise Refused("the signature binds a certificate that is not in the chain")
            return path
        if len(path) == MAX_CHAIN:
            raise Refused("the chain is too long")
        why: Exception = NotTrusted(f"the chain ends at {last.issuer.rfc4514_string()}, which is none of the roots given")
        for issuer in self._roots + self._between:
            if issuer.subject != last.issuer or issuer in path:
                continue
            try:
                self._may_issue(issuer, last, path)
                return self._extend([*path, issuer])
            except (Refused, NotTrusted) as error:
                if isinstance(why, NotTrusted):
                    why = error
        raise why

    def _may_issue(self, issuer, issued, path) -> None:
        self._checks += 1
        if self._checks > _MAX_SIGNATURE_CHECKS:
            raise Refused("too many certificates of one name")
        fields = der.one(_encoded(issued)).fields()
        fields.next()
        scheme = _scheme(Algorithm.read(fields.next()), None)
        if scheme.digest == "sha1":
            raise Unsupported("the signature of a certificate rests on SHA-1")
        if not scheme.verify(_key(issuer), issued.tbs_certificate_bytes, issued.signature):
            raise Refused(f"{_name(issuer)} did not sign {_name(issued)}")
        constraints = _extension(issuer, x509.BasicConstraints)
        if constraints is None or not constraints.value.ca:
            raise Refused(f"{_name(issuer)} is no authority")
        between = sum(one.subject != one.issuer for one in path[1:])
        if constraints.value.path_length is not None and between > constraints.value.path_length:
            raise Refused(f"{_name(issuer)} allows no chain of that length")
        usage = _extension(issuer, x509.KeyUsage)
        if usage is not None and not usage.value.key_cert_sign:
            raise Refused(f"{_name(issuer)} may not sign certificates")
        usages = _extension(issuer, x509.ExtendedKeyUsage)
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
    usages = _extension(signer, x509.ExtendedKeyUsage)
    if usages is None or [one.dotted_string for one in usages.value] != [_TIME_STAMPING] or not usages.critical:
        raise Refused(f"{_name(signer)} is not for time-stamping alone")
    constraints = _extension(signer, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise Refused(f"{_name(signer)} is an authority for certificates")
    extension = _extension(signer, x509.KeyUsage)
    if extension is not None:
        usage = extension.value
        more = (usage.key_encipherment or usage.data_encipherment or usage.key_agreement or usage.key_cert_sign
                or usage.crl_sign)
        if more or not (usage.digital_signature or usage.content_commitment):
            raise Refused(f"the key of {_name(signer)} is not for signatures alone")


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
    names = der.one(_raw_extension(signer, "2.5.29.17")) if _raw_extension(signer, "2.5.29.17") else None
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


def _raw_extension(certificate: x509.Certificate, oid: str) -> bytes | None:
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
