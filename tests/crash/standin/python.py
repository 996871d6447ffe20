"""A stand-in for the interpreter of both environments: the check after installing, and fakesnow's server."""

import argparse
import socket
import sys
import time
from pathlib import Path


def main(arguments):
    match arguments:
        case ["-c", code] if code.startswith(("import airflow.", "import fakesnow.")):
            return
        case [program, *words] if Path(program).name == "server.py":
            fakesnow(words)
        case _:
            sys.exit(f"this stand-in does not run {arguments}")


def fakesnow(words):
    parser = argparse.ArgumentParser()
    for name in ("port", "database-directory", "certificate", "key", "password-file", "database", "schema"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args(words)
    for path in (options.certificate, options.key, options.password_file):
        Path(path).read_bytes()
    Path(options.database_directory, f"{options.database}.db").touch()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(options.port)))
        listener.listen(8)
        while True:
            time.sleep(3600)
