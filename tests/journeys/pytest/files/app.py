import json
import os
import socket


def save(path, data):
    with open(path, "w") as file:
        json.dump(data, file)


def save_whole(path, data):
    """The old file stays until the new one is there."""
    try:
        with open(f"{path}.new", "w") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.new", path)
    except OSError:
        os.unlink(f"{path}.new")
        raise


def report(path):
    socket.create_connection(("127.0.0.1", 9))
