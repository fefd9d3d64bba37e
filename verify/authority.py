"""A real time-stamp authority of `openssl ts`, in a directory."""

import pathlib
import subprocess

_CONFIG = """
[tsa]
default_tsa = t
[t]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/ca.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1, millisecs:500
ordering = no
tsa_name = yes
ess_cert_id_alg = {ess}
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[stamp]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[other]
basicConstraints = CA:FALSE
extendedKeyUsage = timeStamping
"""

KEYS = {"rsa": ["-newkey", "rsa:2048"], "p256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "p384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"]}


class Authority:
    """`profile` "other" is a certificate that RFC 3161 does not allow."""

    def __init__(self, folder: pathlib.Path, kind: str = "p256", ess: str = "sha256", profile: str = "stamp",
                 name: str = "Root"):
        self.folder = folder
        self.root = folder / "ca.pem"
        (folder / "c.cnf").write_text(_CONFIG.format(folder=folder, ess=ess))
        (folder / "serial").write_text("01\n")
        self._openssl("req", "-x509", "-nodes", *KEYS[kind], "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name}",
                      "-config", "c.cnf", "-extensions", "ca", "-days", "30", "-sha256")
        self._openssl("req", "-new", "-nodes", *KEYS[kind], "-keyout", "tsa.key", "-out", "tsa.csr", "-subj",
                      "/O=Tests/CN=Authority", "-config", "c.cnf")
        self._openssl("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                      "tsa.pem", "-extfile", "c.cnf", "-extensions", profile, "-days", "20", "-sha256")

    def stamp(self, data: bytes) -> bytes | None:
        """The whole answer; `None` where openssl itself refuses to make one."""
        (self.folder / "data").write_bytes(data)
        self._openssl("ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "query")
        try:
            self._openssl("ts", "-reply", "-config", "c.cnf", "-queryfile", "query", "-out", "answer.tsr")
        except subprocess.CalledProcessError:
            return None
        return (self.folder / "answer.tsr").read_bytes()

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)
