#!/bin/sh
# Print the Python to use: the first that is new enough. With --check PYTHON, say what is missing.
set -eu

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ "${1-}" = --check ]; then
    if [ -z "$2" ] || ! new_enough "$2"; then
        echo "make: Python 3.11 or newer is needed; on Debian: apt install python3 python3-venv" >&2
        exit 2
    fi
    if ! "$2" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "make: $2 cannot make virtual environments; on Debian: apt install python3-venv" >&2
        exit 2
    fi
    exit 0
fi

for python in python3 python3.15 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$python" >/dev/null 2>&1 && new_enough "$python"; then
        command -v "$python"
        exit 0
    fi
done
