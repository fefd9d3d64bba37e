"""The signature algorithms of notes, as `cryptography` gives them.

ML-DSA-44 is there from version 47 of `cryptography` on. Without it such a signature is neither right nor
wrong: `Unverifiable`.
"""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
except ImportError:
    MLDSA44PublicKey = None


class Unverifiable(Exception):
    """This machine has no code for the algorithm."""


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def ml_dsa_44(public: bytes, message: bytes, signature: bytes) -> bool:
    if MLDSA44PublicKey is None:
        raise Unverifiable("this version of `cryptography` has no ML-DSA-44")
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except UnsupportedAlgorithm as error:
        raise Unverifiable("the OpenSSL of this machine has no ML-DSA-44") from error
    except (InvalidSignature, ValueError):
        return False
    return True


_P = 2**255 - 19
_D = -121665 * pow(121666, _P - 2, _P) % _P


def is_of_low_order(public: bytes) -> bool:
    """Whether the Ed25519 point is one of the eight under which a signature says nothing.

    Eight times such a point is the neutral one. It is told by its y: doubled three times on the curve.
    """
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    y %= _P
    for _ in range(3):
        # x² from the curve -x² + y² = 1 + d·x²·y², then y of the double: (y² + x²) / (1 - d·x²·y²).
        square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
        product = _D * square * y * y % _P
        below = (1 - product) % _P
        if not below:
            return False
        y = (y * y + square) * pow(below, _P - 2, _P) % _P
    return y == 1
