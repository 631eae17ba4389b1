"""A program that pretends to train: `fake_training.py TRIAL_DIR SECONDS`, standard library only.

It starts a child process in a session of its own, as torchrun does. On SIGTERM it saves its
unfinished loss and exits with 0; if FAKE_TRAINING_STUBBORN is set, both it and its child ignore the
signal. It ends at once if a file `hurry` exists. Its log records when it starts and ends, and
whether it should not have been started: while another attempt of its trial was running ("overlap"),
or when its trial had a result ("late").
"""

import os
import signal
import subprocess
import sys
import time

LOG = "FAKE_TRAINING_LOG"  # names the log; every process with it in its environment is the study's
TRIAL = "FAKE_TRAINING_TRIAL"
STUBBORN = "FAKE_TRAINING_STUBBORN"
UNFINISHED, FINISHED = 9.0, 2.0  # the loss half-way, and at the end


def start_time(pid: int) -> str | None:
    """Return the start time of a living process, which tells it from later ones of its number."""
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

    def record(event: str) -> None:
        pid = os.getpid()
        line = f"{event} {trial} {attempt} {pid} {start_time(pid)} {time.time():.6f}\n"
        os.write(log, line.encode())

    def save(loss: float) -> None:
        with open(os.path.join(folder, "loss.json"), "w") as file:
            file.write(f'{{"loss": {loss}}}')

    stubborn = STUBBORN in os.environ
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
    record("start")
    with open(os.environ[LOG]) as file:
        lines = [line.split() for line in file if line.endswith("\n")]
    for event, other, by, pid, since, _ in lines:
        if event == "start" and other == trial and by != attempt and start_time(int(pid)) == since:
            record("overlap")
    if os.path.exists(os.path.join(folder, "..", "..", "result.json")):
        record("late")
    save(UNFINISHED)
    child = subprocess.Popen(
        ["sleep", "600"], env={**os.environ, TRIAL: trial}, start_new_session=True
    )
    until = time.monotonic() + seconds
    while time.monotonic() < until and not os.path.exists("hurry"):
        time.sleep(min(0.1, seconds))
    save(FINISHED)
    record("end")
    child.kill()


if __name__ == "__main__":
    main()
