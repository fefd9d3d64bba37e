"""Signature algorithms as certificates and tokens name them (RFC 5280, 4055, 5758): what is supported, and verification."""

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from . import der
from .der import Value

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


class OutsideChain(Refused):
    """The signature binds a certificate that the chain does not hold."""


class NotTrusted(Exception):
    """The token is whole, and its chain ends in no root that the auditor named."""


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


def scheme(algorithm: Algorithm, digest: str | None) -> Scheme:
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
