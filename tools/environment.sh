# Sourced by the scripts of this folder: a virtual environment of the
# project's own, made once for one set of requirements.
#   VENV    where it is (default: .venv in the project)
#   PYTHON  what makes it (default: python3, 3.10 or newer)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${VENV:-$root/.venv}
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
  echo "$python is $("$python" --version), expected Python 3.10 or newer" >&2
  exit 1
}
recipe=$(cat "$root"/constraints.txt "$root"/requirements*.txt \
  "$root"/requirements/*.txt "$root"/setup.py | sha256sum)
if [ "$(cat "$venv/recipe" 2>/dev/null)" != "$recipe" ]; then
  echo "== Install into $venv"
  "$python" -m venv "$venv"
  # torch first and pinned: a later package must not choose another build.
  "$venv/bin/pip" install --progress-bar off -c "$root/constraints.txt" torch
  "$venv/bin/pip" install --progress-bar off -c "$root/constraints.txt" \
    -e "$root[openmmlab,minitown,tests,onnx,figures,report,monitor]"
  echo "$recipe" > "$venv/recipe"
fi
export PATH="$venv/bin:$PATH"
cd "$root"
