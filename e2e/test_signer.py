"""`[signer]`: the recorder's own keys in a PKCS#11 token, with SoftHSM2. Started, used, rotated, verified; and what is wrong is said."""

import json
import pathlib
import shutil
import subprocess
import sys
import urllib.request

import pytest
from tacho import ROOT, TACHO, Recorder

MODULE = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so")
PIN, WRONG_PIN = "7702-3391", "0000-1111"


@pytest.fixture
def tokens(tmp_path, monkeypatch):
    """Where tokens lie; one is there, called `recorder`."""
    if not MODULE.exists() or not shutil.which("softhsm2-util"):
        pytest.skip(f"softhsm2 is not installed (no {MODULE})")
    (tmp_path / "none.toml").write_text(f'[signer]\nmodule = "{tmp_path}/none.so"\ntoken = "none"\npin_file = "none"\n')
    command = [TACHO, "serve", "--data", str(tmp_path / "none"), "--config", str(tmp_path / "none.toml")]
    if "needs PKCS#11" in subprocess.run(command, capture_output=True, text=True, timeout=60).stderr:
        pytest.skip(f"{TACHO} was built without the feature pkcs11")
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    settings = tmp_path / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    made = ["softhsm2-util", "--init-token", "--free", "--label", "recorder", "--so-pin", "11223344", "--pin", PIN]
    subprocess.run(made, check=True, capture_output=True)
    return tokens


def config(folder, url: str, pin: str = PIN) -> str:
    """Paths are relative to where the configuration lies."""
    file = folder / ("right.pin" if pin == PIN else "wrong.pin")
    file.write_text(pin + "\n")
    file.chmod(0o600)
    return (f'[upstream.raw]\nbase_url = "{url}"\napi = "raw"\n'
            f'[signer]\nmodule = "{MODULE}"\ntoken = "recorder"\npin_file = "{file.name}"\n')


def call(recorder, text: str) -> None:
    request = urllib.request.Request(recorder.agent("signed", "raw/echo"), data=text.encode())
    assert urllib.request.urlopen(request, timeout=20).read() == text.encode()


def refused(recorder, text: str) -> str:
    """Why a recorder with this configuration does not start."""
    recorder.config.write_text(text)
    command = [TACHO, "serve", "--data", recorder.data, "--config", recorder.config, "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert PIN not in done.stderr and WRONG_PIN not in done.stderr
    return done.stderr


def test_a_token_signs_what_is_recorded(tokens, tmp_path, model):
    recorder = Recorder(tmp_path, config(tmp_path, model.url))
    call(recorder, "under the first key")
    held = tmp_path / "held"
    for text in ("under the second", "under the third"):
        recorder.run("keys", "rotate")
        call(recorder, text)
    recorder.stop()
    listed = recorder.run("keys", "list", "--json").stdout
    assert [key["epoch"] for key in json.loads(listed)["epochs"]] == [1, 2, 3], listed
    assert (recorder.data / "keys/log.key").read_text().startswith("v3 token tachograph/")
    held.write_bytes((recorder.data / "log/checkpoint").read_bytes())
    verified(recorder, held)

    # It goes on with the same key, and what it signs extends what was held.
    recorder.start()
    call(recorder, "under the third again")
    recorder.run("keys", "revoke", "1", "--reason", "it was shown around")
    recorder.stop()
    verified(recorder, held)
    assert len(recorder.calls("signed")) == 4


def verified(recorder, head) -> None:
    """By both verifiers, of which neither sees the token."""
    report = recorder.run("verify", "--json", "--head", str(head))
    report = json.loads(report.stdout)
    assert report["exit_code"] == 0 and report["unsigned_tail"] == 0, report
    second = [sys.executable, str(ROOT / "verify/tacho_verify.py"), str(recorder.data), "--head", str(head), "--json"]
    done = subprocess.run(second, capture_output=True, text=True, timeout=120, env={})
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["root"] == report["root"]


def test_a_wrong_pin_is_said_and_does_no_harm(tokens, tmp_path, model):
    right, wrong = config(tmp_path, model.url), config(tmp_path, model.url, WRONG_PIN)
    recorder = Recorder(tmp_path, right)
    call(recorder, "before")
    recorder.stop()
    before = files(recorder.data)
    said = refused(recorder, wrong)
    assert f'token "recorder": the PIN in {tmp_path}/wrong.pin is not its user\'s' in said, said
    assert "tried once" in said and "correct it, then start the recorder again" in said, said
    assert files(recorder.data) == before, "the record is as it was"
    recorder.config.write_text(right)
    recorder.start()
    call(recorder, "after")
    recorder.stop()
    assert recorder.verify()["exit_code"] == 0


def test_a_token_that_is_not_there_is_said(tokens, tmp_path, model):
    text = config(tmp_path, model.url)
    recorder = Recorder(tmp_path, text)
    recorder.stop()
    away = tokens.rename(tmp_path / "away")
    tokens.mkdir()
    assert "the module sees no token: connect it" in refused(recorder, text)
    unnamed = text.partition("[signer]")[0]
    assert "lies in a token, and none is configured: name it in [signer]" in refused(recorder, unnamed)
    tokens.rmdir()
    away.rename(tokens)
    recorder.config.write_text(text)
    recorder.start()
    call(recorder, "it is back")
    recorder.stop()
    assert recorder.verify()["exit_code"] == 0


def files(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
