#!/bin/sh
# Lambda's wrapper script (AWS_LAMBDA_EXEC_WRAPPER): it is given the interpreter and the runtime's own bootstrap, and
# starts the loop that streams in its place.
export PYTHONPATH="$LAMBDA_TASK_ROOT:$LAMBDA_RUNTIME_DIR:$PYTHONPATH"
exec "$1" -m functions.forward.streaming
