"""A program that pretends to train: `pretend.py TRIAL_DIR SECONDS`, standard library only.

It starts a process of its own. When asked to end it saves what it has and exits with 0; where
PRETEND_STUBBORN is set it goes on, and so does its process. It ends at once where it finds a file
`hurry`. It writes down when it starts and ends, and whether it ought not to have been started:
while another attempt of its trial runs ("overlap"), or when its trial has a result ("late").
"""

import os
import signal
import subprocess
import sys
import time

LOG = "PRETEND_LOG"  # names the log; whoever has it in its environment belongs to the study
TRIAL = "PRETEND_TRIAL"
UNFINISHED, FINISHED = 9.0, 2.0  # the loss half-way, and at the end


def born(pid: int) -> str | None:
    """Give a living process's start time, since numbers are used again."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def main() -> None:
    """Pretend to train."""
    folder, seconds = sys.argv[1], float(sys.argv[2])
    trial, attempt = os.path.basename(os.path.dirname(os.path.dirname(folder))), folder[-32:]
    log = os.open(os.environ[LOG], os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)

    def say(word: str) -> None:
        me = os.getpid()
        line = f"{word} {trial} {attempt} {me} {born(me)} {time.time():.6f}\n"
        os.write(log, line.encode())

    def save(loss: float) -> None:
        with open(os.path.join(folder, "loss.json"), "w") as file:
            file.write(f'{{"loss": {loss}}}')

    stubborn = "PRETEND_STUBBORN" in os.environ
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
    say("start")
    with open(os.environ[LOG]) as file:
        lines = [line.split() for line in file if line.endswith("\n")]
    for word, other, by, pid, since, _ in lines:
        if word == "start" and other == trial and by != attempt and born(int(pid)) == since:
            say("overlap")
    if os.path.exists(os.path.join(folder, "..", "..", "result.json")):
        say("late")
    save(UNFINISHED)
    subprocess.Popen(["sleep", "600"], env={**os.environ, TRIAL: trial})
    until = time.monotonic() + seconds
    while time.monotonic() < until and not os.path.exists("hurry"):
        time.sleep(min(0.1, seconds))
    save(FINISHED)
    say("end")


if __name__ == "__main__":
    main()
