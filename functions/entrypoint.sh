#!/bin/sh
# One image, several entry points by command: a handler's name for Lambda's runtime client, functions.streaming for the
# loop that streams. Anything else is run as it stands.
case "$1" in
    functions.streaming)
        if [ -z "$AWS_LAMBDA_RUNTIME_API" ] && [ -x /usr/local/bin/aws-lambda-rie ]; then
            exec /usr/local/bin/aws-lambda-rie python3 -m functions.streaming
        fi
        exec python3 -m functions.streaming ;;
    functions.*)
        # The base's own script finds its client, and starts the emulator outside Lambda.
        if [ -x /lambda-entrypoint.sh ]; then exec /lambda-entrypoint.sh "$1"; fi
        exec python3 -m awslambdaric "$1" ;;
    *) exec "$@" ;;
esac
