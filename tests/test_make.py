"""The jobs, by `make` and by Python alone: their commands, their environment, and the source of its torch."""

import functools
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

import make
from tests.conftest import ROOT, do_without

TARGETS = set(re.search("^JOBS = (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[1].split())
TORCH = "torch==2.13.0"


def finished(*command, **variables):
    """Run a command as a user would in the active environment, no variable of `make` set but these."""
    ours = {name.replace("-", "_").upper() for name in make.OPTIONS} | {"MAKEFLAGS", "MAKELEVEL"}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | variables
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_python_alone_does_a_job():
    done = finished(sys.executable, "make.py", "lint", "--venv", "")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All checks passed!" in done.stdout and "already formatted" in done.stdout


def test_a_job_that_fails_says_so_and_passes_its_status_on():
    done = finished(sys.executable, "make.py", "status", "--venv", "", "--profile", "none")
    assert done.returncode == 1
    assert done.stderr.startswith("error: There is no profile 'none'")
    done = finished(sys.executable, "make.py", "teapot")
    assert done.returncode == 2
    assert "there is no job 'teapot', but book, run," in done.stderr


def test_make_does_the_same_jobs_and_passes_its_variables_on():
    help = finished(sys.executable, "make.py").stdout
    told = re.findall(r"^  ([a-z]+) +\S", help.partition("\njobs:\n")[2], re.MULTILINE)
    assert {"help", *told} == TARGETS and {"book", "test"} <= TARGETS
    if shutil.which("make") is None:
        do_without("This test needs make.", "CI must have make.")
    python = f"PYTHON={sys.executable}"
    assert finished("make", python).stdout == finished("make", python, "help").stdout == help
    done = finished("make", python, "status", "VENV=", "PROFILE=none")
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no profile 'none'")


def test_the_jobs_put_the_options_into_their_commands():
    options = SimpleNamespace(profile="mine", pytest_args="-k 'a and b'", port="8001")
    commands = {name: steps for name, (_, steps) in make.jobs(options).items()}
    assert commands["book"] == commands["run"] + commands["build"]
    assert commands["run"] == [["-m", make.BOOK, "run", "--profile", "mine"]]
    assert commands["test"][:-1] == commands["lint"]
    assert commands["test"][-1][-2:] == ["-k", "a and b"]
    assert "8001" in commands["serve"][0]
    for name in make.TIMINGS:
        assert (ROOT / "bench" / f"{name}.py").exists()


# --- the environment


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project to install: the options, and the commands that were called; one of them may fail."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.lock").write_text(f"# torch first\n{TORCH}\nnumpy==2.4.6\n")
    for package in make.PACKAGES:
        (tmp_path / package).mkdir(exist_ok=True)
        (tmp_path / package / "pyproject.toml").touch()
    called = SimpleNamespace(commands=[], fails=None)

    def call(*command):
        called.commands.append([str(word) for word in command])
        if called.fails in called.commands[-1]:
            sys.exit(1)
        (tmp_path / ".venv").mkdir(exist_ok=True)

    monkeypatch.setattr(make, "call", call)
    return SimpleNamespace(venv=".venv", torch_index="https://example.org/simple"), called


def test_everything_is_installed_once(project, tmp_path, capsys):
    options, called = project
    interpreter = make.python(options)
    assert interpreter.is_relative_to(tmp_path / ".venv")
    environment, torch, lock, packages = called.commands
    assert environment[1:] == ["-m", "venv", str(tmp_path / ".venv")]
    assert torch[-3:] == ["--index-url", "https://example.org/simple", TORCH]
    assert lock[-2:] == ["-r", "requirements.lock"]
    assert packages[-2:] == ["--editable", make.PACKAGES[-1]] and "--no-deps" in packages
    assert all(command[0] == str(interpreter) for command in (torch, lock, packages))
    (line,) = re.findall("^PyTorch comes from .*", capsys.readouterr().out, re.MULTILINE)
    assert "https://example.org/simple" in line and "TORCH_INDEX=" in line
    make.python(options)
    assert len(called.commands) == 4


@pytest.mark.parametrize(
    "changed", ["requirements.lock", *(f"{name}/pyproject.toml" for name in make.PACKAGES)]
)
def test_what_changed_is_installed_again(project, tmp_path, changed):
    options, called = project
    make.python(options)
    later = (tmp_path / ".venv" / "installed").stat().st_mtime + 1
    os.utime(tmp_path / changed, (later, later))
    make.python(options)
    assert len(called.commands) == 8


def test_an_interrupted_installation_is_taken_up_again(project):
    options, called = project
    called.fails = "--no-deps"
    with pytest.raises(SystemExit):
        make.python(options)
    called.fails = None
    make.python(options)
    assert len(called.commands) == 8


def test_the_active_environment_is_used_as_it_is(project):
    options, called = project
    options.venv = ""
    assert make.python(options) == sys.executable
    assert not called.commands


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 15, 0)])
def test_another_python_is_refused_with_a_sentence(project, monkeypatch, version):
    options, called = project
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=r"^This needs Python 3\.11 to 3\.14, and .* is 3\.1[05]: say for"):
        make.python(options)
    assert not called.commands


# --- where torch comes from


@pytest.fixture
def linux(monkeypatch, tmp_path):
    """Any machine, as Linux without an NVIDIA card, and without a proxy."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(make, "NVIDIA", str(tmp_path / "nvidia"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def index(tmp_path):
    """An index of builds of one version; its address."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "index.html").write_text("<a href='torch-2.13.0%2Bcpu-cp311.whl'>a wheel</a>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def port():
    """A port where nobody answers: it takes calls only once it listens."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        yield opened


def test_linux_without_a_card_takes_the_build_for_the_cpu(linux, index):
    assert make.torch_index(None, TORCH, index) == (
        index,
        "the build for the CPU, since there is no NVIDIA card",
    )


def test_a_version_or_page_that_the_index_lacks_is_taken_from_elsewhere(linux, index):
    assert make.torch_index(None, "torch==2.99.0", index)[0] == ""
    assert make.torch_index(None, TORCH, index + "/nothing")[0] == ""


def test_an_index_that_refuses_or_hangs_is_not_waited_for(linux, port):
    address = f"http://127.0.0.1:{port.getsockname()[1]}"
    assert make.torch_index(None, TORCH, address)[0] == ""
    port.listen()  # calls are taken, and nothing is said
    place, reason = make.torch_index(None, TORCH, address, seconds=0.2)
    assert place == "" and reason == f"within 0.2 seconds {address} did not offer {TORCH}"


@pytest.mark.parametrize("sign", ["driver", "program", "system"])
def test_where_the_plain_build_is_right_no_index_is_asked(linux, index, tmp_path, monkeypatch, sign):
    if sign == "driver":
        (tmp_path / "nvidia").mkdir()
    elif sign == "program":
        (tmp_path / "nvidia-smi").touch(mode=0o755)
    else:
        monkeypatch.setattr(sys, "platform", "darwin")
    place, reason = make.torch_index(None, TORCH, index)
    assert place == "" and ("NVIDIA" in reason or "without CUDA" in reason)


@pytest.mark.parametrize("asked", ["", "https://example.org/simple"])
def test_what_is_asked_for_wins_even_if_it_is_empty(linux, index, asked):
    assert make.torch_index(asked, TORCH, index) == (asked, "TORCH_INDEX says so")
