"""What an agent that wants to be rid of its recorder tries. Run as a user of its own, with the standard library alone;
says on standard output what came of it, as JSON.

`python3 -c "$(cat hostile.py)" ATTACK`, with the rest in the environment variable HOSTILE as JSON.
"""

import ctypes
import errno
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

GIVEN = json.loads(os.environ["HOSTILE"])
LIBC = ctypes.CDLL(None, use_errno=True)


def tried(results, name, attempt):
    """`None`: it succeeded. Else the error that refused it."""
    try:
        attempt()
        results[name] = None
    except OSError as error:
        results[name] = errno.errorcode.get(error.errno, str(error))


def syscall(number, *arguments):
    if LIBC.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "syscall")


def ptrace(request, pid):
    if LIBC.ptrace(request, pid, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def read_memory(pid):
    """process_vm_readv(2) of the first page above 0x10000."""

    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    buffer = ctypes.create_string_buffer(4096)
    local = Vector(ctypes.cast(buffer, ctypes.c_void_p), 4096)
    remote = Vector(0x10000, 4096)
    if LIBC.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")


def stop():
    """Everything one process can do to another."""
    pid, results = GIVEN["pid"], {}
    for name in ("TERM", "KILL", "INT", "HUP", "STOP", "TSTP", "QUIT", "SEGV", "ABRT", "USR1", "PIPE", "XFSZ"):
        tried(results, f"signal {name}", lambda name=name: os.kill(pid, getattr(signal, f"SIG{name}")))
    tried(results, "signal to the group", lambda: os.killpg(os.getpgid(pid), signal.SIGKILL))
    tried(results, "signal by pidfd", lambda: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL))
    tried(results, "ptrace attach", lambda: ptrace(16, pid))
    tried(results, "ptrace seize", lambda: ptrace(0x4206, pid))
    tried(results, "process_vm_readv", lambda: read_memory(pid))
    tried(results, "pidfd_getfd", lambda: syscall(438, os.pidfd_open(pid), 3, 0))
    tried(results, "renice", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    tried(results, "idle scheduling", lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)))
    tried(results, "prlimit", lambda: __import__("resource").prlimit(pid, __import__("resource").RLIMIT_NOFILE, (3, 3)))
    for name in ("mem", "environ", "maps", "auxv", "io"):
        tried(results, f"read /proc/PID/{name}", lambda name=name: open(f"/proc/{pid}/{name}", "rb").read(1))
    for name, text in (("mem", "x"), ("oom_score_adj", "1000"), ("comm", "x"), ("coredump_filter", "0xff"), ("clear_refs", "1")):
        tried(results, f"write /proc/PID/{name}", lambda name=name, text=text: pathlib.Path(f"/proc/{pid}/{name}").write_text(text))
    tried(results, "list /proc/PID/fd", lambda: os.listdir(f"/proc/{pid}/fd"))
    tried(results, "set the clock back", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time() - 86400))
    return results


def files():
    """Every file of the installation, by its name and by links to it."""
    results = {}
    mine = pathlib.Path(GIVEN["mine"])
    (mine / "fake").write_text("v2 0000 0000\n")
    for at, name in enumerate(GIVEN["files"]):
        short = name.removeprefix(GIVEN["root"])
        link = mine / f"link-{at}"
        os.symlink(name, link)
        attempts = {
            "write": lambda: os.close(os.open(name, os.O_WRONLY)),
            "append": lambda: os.close(os.open(name, os.O_WRONLY | os.O_APPEND)),
            "truncate": lambda: os.truncate(name, 0),
            "unlink": lambda: os.unlink(name),
            "rename away": lambda: os.rename(name, mine / "taken"),
            "replace": lambda: os.rename(mine / "fake", name),
            "replace by a link": lambda: os.symlink(mine / "fake", name),
            "chmod": lambda: os.chmod(name, 0o666),
            "chown": lambda: os.chown(name, os.getuid(), os.getgid()),
            "utime": lambda: os.utime(name, (0, 0)),
            "xattr": lambda: os.setxattr(name, "user.x", b"x"),
            "write through a link": lambda: os.close(os.open(link, os.O_WRONLY)),
            "truncate through a link": lambda: os.truncate(link, 0),
            "rename its directory": lambda: os.rename(os.path.dirname(name), mine / "dir"),
            "put something beside it": lambda: os.close(os.open(os.path.dirname(name) + "/planted", os.O_CREAT | os.O_WRONLY)),
        }
        if name in GIVEN["secret"]:
            attempts["read"] = lambda: os.close(os.open(name, os.O_RDONLY))
            attempts["hard link"] = lambda: os.link(name, mine / f"hard-{at}")
            attempts["read through a link"] = lambda: os.close(os.open(link, os.O_RDONLY))
            attempts["read by the recorder's root"] = lambda: os.close(os.open(f"/proc/{GIVEN['pid']}/root{name}", os.O_RDONLY))
        for what, attempt in attempts.items():
            tried(results, f"{what} {short}", attempt)
    for name in GIVEN["directories"]:
        short = name.removeprefix(GIVEN["root"])
        tried(results, f"list {short}", lambda name=name: os.listdir(name))
        tried(results, f"remove {short}", lambda name=name: shutil.rmtree(name))
        tried(results, f"mount over {short}", lambda name=name: mount(name))
    return results


def mount(target):
    if LIBC.mount(b"none", target.encode(), b"tmpfs", 0, None) < 0:
        raise OSError(ctypes.get_errno(), "mount")


def control():
    """The sockets that are not for agents, and the program's own commands."""
    results = {}
    for name in ("recorder.sock", "control.sock"):
        tried(results, f"connect to {name}", lambda name=name: connect_unix(f"{GIVEN['data']}/{name}"))
    for words in (["events"], ["status"], ["verify"], ["run", "--", "touch", f"{GIVEN['mine']}/ran"],
                  ["serve", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"], *GIVEN["commands"]):
        done = subprocess.run([GIVEN["program"], *words[:1], "--data", GIVEN["data"], *words[1:]],
                              capture_output=True, timeout=30, cwd="/")
        results["tacho " + words[0]] = None if done.returncode == 0 or done.stdout else "refused"
    return results


def connect_unix(path):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(path)


def ask(address, request):
    """Bytes out, bytes in."""
    host, port = urllib.parse.urlsplit(address).hostname, urllib.parse.urlsplit(address).port
    with socket.create_connection((host, port), 20) as stream:
        stream.sendall(request.replace(b"HOST", f"{host}:{port}".encode()))
        parts = []
        try:
            while part := stream.recv(65536):
                parts.append(part)
        except OSError:
            pass
    return b"".join(parts).decode("latin-1")


def send():
    """Requests as they are given, one after the other; the whole answers."""
    return [ask(GIVEN[to], request.encode("latin-1")) for to, request in GIVEN["requests"]]


def hold():
    """Connections that ask for service and take none: half a head each, until told to let go."""
    address = urllib.parse.urlsplit(GIVEN["gateway"])
    held = []
    for n in range(GIVEN["connections"]):
        stream = socket.create_connection((address.hostname, address.port), 20)
        stream.sendall(b"POST /agent/hostile/raw/slow HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        held.append(stream)
    print(json.dumps(len(held)), flush=True)
    sys.stdin.read()
    for n, stream in enumerate(held):
        stream.close()
    return len(held)


def dribble():
    """A body that comes a byte at a time; how it was answered."""
    address = urllib.parse.urlsplit(GIVEN["gateway"])
    with socket.create_connection((address.hostname, address.port), 60) as stream:
        stream.sendall(b"POST /agent/hostile/raw/dribble HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        stream.settimeout(0.2)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                stream.sendall(b"x")
                if answer := stream.recv(65536):
                    return answer.decode("latin-1")
            except TimeoutError:
                continue
            except OSError as error:
                return errno.errorcode.get(error.errno, "closed")
    return None


def deaf():
    """Long answers that are asked for and never read; then gone."""
    address = urllib.parse.urlsplit(GIVEN["gateway"])
    held = []
    for n in range(GIVEN["connections"]):
        stream = socket.socket()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.connect((address.hostname, address.port))
        size = 4 << 20
        stream.sendall(b"POST /agent/hostile/raw/echo/deaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
        stream.sendall(b"d" * size)
        held.append(stream)
    print(json.dumps(len(held)), flush=True)
    sys.stdin.read()
    os._exit(0)


def flood():
    """As many requests as a second of connections brings; the statuses."""
    statuses = {}
    for n in range(GIVEN["connections"]):
        answer = ask(GIVEN["gateway"], f"POST /agent/hostile/raw/echo/flood-{n} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n"
                                       "Content-Length: 1\r\n\r\nx".encode())
        status = answer[9:12]
        statuses[status] = statuses.get(status, 0) + 1
    return statuses


def fill():
    """Bodies that do not compress, of each size until they are refused; the statuses in their order."""
    statuses = []
    for size in GIVEN["sizes"]:
        for n in range(200):
            body = os.urandom(size)
            head = (f"POST /agent/hostile/raw/echo/fill-{size}-{n} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n").encode()
            answer = ask(GIVEN["gateway"], head + body)
            # A head alone is no answer: an end that could not be recorded was not given.
            statuses.append("cut" if answer[9:12] == "200" and body.decode("latin-1") not in answer else answer[9:12])
            if statuses[-2:] == ["503"] * 2:
                break
    return statuses


def vanish():
    """Dies of SIGKILL in the middle of its own call."""
    address = urllib.parse.urlsplit(GIVEN["gateway"])
    stream = socket.create_connection((address.hostname, address.port), 20)
    body = json.dumps({"model": "scripted-hang", "stream": True, "max_tokens": 9,
                       "messages": [{"role": "user", "content": "now you see me"}]}).encode()
    stream.sendall(b"POST /agent/hostile/raw/v1/messages?vanish HTTP/1.1\r\nHost: localhost\r\nAnthropic-Version: 2023-06-01\r\n"
                   b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    stream.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


print(json.dumps(globals()[sys.argv[1]]()), flush=True)
