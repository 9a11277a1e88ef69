#!/usr/bin/env python3
"""Asks reel for one picture, shows its progress, and saves it. Needs nothing but Python's standard library.

    python3 examples/picture.py "a lighthouse at dusk" lighthouse.png

The daemon must run: `reel daemon start`, or any other command of reel, starts it.
"""

import json
import os
import shutil
import socket
import sys


def socket_paths():
    """Where a daemon may listen: by the rules of the specification, and by the lock file of one that runs."""
    env = os.environ.get
    if env("REEL_SOCKET"):
        return [env("REEL_SOCKET")]
    home = env("REEL_HOME") or os.path.join(env("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "reel")
    if not env("REEL_HOME") and env("XDG_RUNTIME_DIR"):
        paths = [os.path.join(env("XDG_RUNTIME_DIR"), "reel", "reeld.sock")]
    else:
        paths = [os.path.join(home, "reeld.sock")]
    try:
        with open(os.path.join(home, "reeld.lock")) as lock:
            paths += lock.read().splitlines()[1:2]
    except OSError:
        pass  # No daemon ever ran here.
    return paths


def connect():
    """Connects to the daemon that listens at one of the paths."""
    for path in socket_paths():
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            return connection
        except OSError as error:
            reason = f"{path}: {error.strerror or error}"
            connection.close()
    raise SystemExit(f"no daemon answers ({reason}); start it with: reel daemon start")


class Reel:
    """One connection: a JSON-RPC message a line, in both directions."""

    def __init__(self, name):
        self.lines = connect().makefile("rwb")
        self.last_id = 0
        self.call("hello", client=name)

    def call(self, method, on_event=lambda event: None, /, **params):
        """Sends a request and returns its result; events that come before it go to `on_event`."""
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        try:
            self.lines.write(json.dumps(request).encode() + b"\n")
            self.lines.flush()
            # The daemon may have ended: then reading fails, or there are no more lines.
            for line in self.lines:
                message = json.loads(line)
                if message.get("method") == "event":
                    on_event(message["params"])
                elif message.get("id") in (self.last_id, None):  # null: a line of ours that could not be read
                    if "error" in message:
                        error = message["error"]
                        raise SystemExit(problem(error["data"]["code"], error["message"], error["data"]["hint"]))
                    return message["result"]
        except ConnectionError:
            pass
        raise SystemExit("the daemon has ended; its tasks are kept, and go on when it is started again")


def problem(code, message, hint):
    """An error in one line."""
    return f"{code}: {message}" + (f" ({hint})" if hint else "")


def show(event):
    """Prints one line for each event of a task."""
    task = event["task"]
    if event["event"] == "progress":
        print(f"  {task['progress']['fraction']:4.0%} {task['progress']['message']}", file=sys.stderr)
    else:
        print(f"task {task['id']} {task['state']}", file=sys.stderr)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    prompt, path = sys.argv[1:]
    # Better to learn now than after the picture was made and paid.
    if os.path.isdir(path) or not os.access(os.path.dirname(path) or ".", os.W_OK):
        raise SystemExit(f"{path} cannot be written")
    reel = Reel("picture.py")
    reel.call("events.subscribe", topics=["task"])
    task = reel.call("task.submit", kind="image.generate", params={"prompt": prompt, "width": 768, "height": 432})

    def show_mine(event):
        # Events of other programs' tasks come too. The event `subscription_dropped` has no task.
        if event["task"] and event["task"]["id"] == task["id"]:
            show(event)

    done = reel.call("task.wait", show_mine, ids=[task["id"]])["tasks"][0]
    if done["state"] != "succeeded":
        error = done["error"] or {"code": done["hold_reason"] or done["state"], "message": "see reel show", "hint": None}
        raise SystemExit(f"task {done['id']} {done['state']}: " + problem(error["code"], error["message"], error["hint"]))
    picture = done["outputs"][0]
    try:
        shutil.copyfile(picture["path"], path)
    except OSError as error:
        raise SystemExit(f"{path} cannot be written: {error.strerror}; the picture is {picture['path']}")
    print(f"{path}: {picture['width']}x{picture['height']} from {done['provider']} ({done['source']})")


main()
