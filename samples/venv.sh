# Sourced by samples/run and tests/run in the project's root. Sets PYTHON to an interpreter that has what
# the project needs: that of the active virtual environment if there is one, otherwise that of .venv,
# which is made if it is missing. EXTRA is "" or "dev".

case "${VIRTUAL_ENV:-}" in "") venv=.venv ;; *) venv=$VIRTUAL_ENV ;; esac

if [ ! -d "$venv" ]; then
  for python in python3 python3.13 python3.12 python3.11 python; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break || python=
  done
  [ -n "$python" ] || { echo "Python 3.11 or newer is needed; install it and run this again" >&2; exit 1; }
  echo "making $venv with $("$python" --version)" >&2
  "$python" -m venv "$venv" || { echo "$venv could not be made; on Debian: apt-get install python3-venv" >&2; rm -rf "$venv"; exit 1; }
fi
PYTHON=$venv/bin/python
[ -x "$PYTHON" ] || PYTHON=$venv/Scripts/python.exe

# The stamp records the requirements, so a second call installs nothing unless they changed.
stamp=$venv/.unlayer-${EXTRA:-base}
# UNLAYER_CONSTRAINTS names another file of versions, such as constraints-lowest.txt.
constraints=${UNLAYER_CONSTRAINTS:-constraints.txt}
wanted="$PWD $(cat pyproject.toml setup.py "$constraints" | cksum)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  echo "installing what is needed into $venv (PyTorch is large: minutes the first time)" >&2
  "$PYTHON" -m pip install -qq --disable-pip-version-check -c "$constraints" -e ".${EXTRA:+[$EXTRA]}" >&2
  echo "$wanted" > "$stamp"
fi
