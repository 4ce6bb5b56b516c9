"""``rrtool`` as a process of its own, from one that has its imports behind it.

Pipelines and examples run dozens of commands on tiny photos, each of which would import for seconds
what it computes with for a tenth of one. Here a server imports once and forks for each command: its
own process all the same, with its own arguments, folder, environment, streams and exit code, and
the caller's limit to the sizes of files.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import resource
import runpy
import socket
import subprocess
import sys
import tempfile
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache
from importlib import import_module
from pathlib import Path

_CLIENT = """#!{python} -ISE
import json, os, resource, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    with server.makefile("rw") as stream:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        json.dump([sys.argv[1:], os.getcwd(), dict(os.environ), limit], stream)
        stream.write("\\n")
        stream.flush()
        sys.exit(int(stream.readline() or 1))
"""


@cache
def warm_rrtool() -> Path:
    """The path of a program that runs as ``rrtool`` does; its server ends with this process.

    Called with ``-m`` and a module first, it runs that as Python does.
    """
    folder = tempfile.TemporaryDirectory(prefix="rrtool-warm-")
    address, program = f"{folder.name}/socket", Path(folder.name, "rrtool")
    program.write_text(_CLIENT.format(python=sys.executable, address=address))
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.warm", address],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"NUMBA_NUM_THREADS": "1"},  # a process with threads is none to fork
        stdout=subprocess.PIPE,
    )
    atexit.register(folder.cleanup)
    atexit.register(server.wait)
    atexit.register(server.terminate)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return program


def serve(address: str) -> None:
    for library in ("faiss", "numba", "scipy.sparse.linalg", "torch", "torchvision"):
        import_module(library)
    import rrtool

    for module in pkgutil.walk_packages(rrtool.__path__, "rrtool."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    _try_out()
    gc.collect()
    gc.freeze()  # else the first collection of every child copies all pages

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _answer(connection)
            connection.close()
            _bury()


def _try_out() -> None:
    """Make what every command would make for itself: those of the app, and compiled kernels."""
    import typer.main

    from rrtool.cli.app import app

    typer.main.get_command = cache(typer.main.get_command)
    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
        suppress(SystemExit),
    ):
        app(["doctor", "--warm"])


def _bury() -> None:
    """Of the children that have ended; there may be none."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _answer(connection: socket.socket) -> None:
    """Run one command in this fork, and end it."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    stream = connection.makefile("rw")
    arguments, folder, environment, limit = json.loads(stream.readline())
    for number, given in enumerate(streams):
        os.dup2(given, number)
        os.close(given)
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code = _run(arguments)
    stream.write(f"{code}\n")
    stream.flush()
    os._exit(0)


def _run(arguments: list[str]) -> int:
    from rrtool.__main__ import main

    try:
        if arguments[:1] == ["-m"]:
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = ["rrtool", *arguments]
            main()
        code = 0
    except SystemExit as end:
        code = int(end.code if isinstance(end.code, int) else end.code is not None)
    except BaseException:  # noqa: BLE001 - told as the interpreter does at the end of a process
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve(sys.argv[1])
