#!/usr/bin/env python3
"""Asks reel for one picture, shows its progress, and saves it. Needs nothing but Python's standard library.

    python3 examples/picture.py "a lighthouse at dusk" lighthouse.png

The daemon must run: `reel daemon start`, or any other command of reel, starts it.
"""

import json
import os
import socket
import sys


def socket_path():
    """Where the daemon listens, by the rules of the specification."""
    env = os.environ.get
    if env("REEL_SOCKET"):
        return env("REEL_SOCKET")
    home = env("REEL_HOME") or os.path.join(env("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "reel")
    if not env("REEL_HOME") and env("XDG_RUNTIME_DIR"):
        return os.path.join(env("XDG_RUNTIME_DIR"), "reel", "reeld.sock")
    return os.path.join(home, "reeld.sock")


class Reel:
    """One connection: a JSON-RPC message a line, in both directions."""

    def __init__(self, name):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(socket_path())
        self.lines = connection.makefile("rwb")
        self.last_id = 0
        self.call("hello", client=name)

    def call(self, method, on_event=lambda event: None, **params):
        """Sends a request and answers its result; events that come before it go to `on_event`."""
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        self.lines.write(json.dumps(request).encode() + b"\n")
        self.lines.flush()
        while True:
            line = self.lines.readline()
            if not line:
                raise SystemExit("the daemon went away; ask again with the same request_id")
            message = json.loads(line)
            if message.get("method") == "event":
                on_event(message["params"])
            elif message.get("id") == self.last_id:
                if "error" in message:
                    error = message["error"]
                    raise SystemExit(f"{error['data']['code']}: {error['message']} ({error['data']['hint']})")
                return message["result"]


def show(event):
    """One line for each event of a task."""
    task = event["task"]
    if event["event"] == "progress":
        print(f"  {task['progress']['fraction']:4.0%} {task['progress']['message']}", file=sys.stderr)
    else:
        print(f"task {task['id']} {task['state']}", file=sys.stderr)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    prompt, path = sys.argv[1:]
    reel = Reel("picture.py")
    reel.call("events.subscribe", topics=["task"])
    task = reel.call("task.submit", kind="image.generate", params={"prompt": prompt, "width": 768, "height": 432})
    # Events of other programs' tasks come too; a subscription may name task_ids once they are known.
    mine = lambda event: show(event) if event.get("task", {}).get("id") == task["id"] else None
    done = reel.call("task.wait", mine, ids=[task["id"]])["tasks"][0]
    if done["state"] != "succeeded":
        raise SystemExit(f"task {done['id']} {done['state']}: {done['error']}")
    picture = done["outputs"][0]
    with open(picture["path"], "rb") as stored, open(path, "xb") as out:
        out.write(stored.read())
    print(f"{path}: {picture['width']}x{picture['height']} from {done['provider']} ({done['source']})")


main()
