"""Exit statuses of the command line, as docs/commands.md lists them."""

SUCCESS = 0
NEGATIVE = 1
INVALID_INPUT = 2
UNDETERMINED = 3
FAILED_TRIALS = 4
NOTHING_LEFT = 5
OTHERS_RUNNING = 6
INTERNAL_ERROR = 70
INTERRUPTED = 130
