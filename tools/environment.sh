# Sourced by the scripts of this folder: a virtual environment of the
# project's own, made once for one set of requirements.
#   STACK   whose mmcv, mmengine and mmseg: maintained (default) or openmmlab
#   VENV    where it is (default: .venv in the project, or .venv-openmmlab)
#   PYTHON  what makes it (default: python3, 3.11 or newer)
#   WHEELS  a folder with wheels, such as one of mmcv 2.1.0, which pip would
#           otherwise compile
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "$python is $("$python" --version), expected Python 3.11 or newer" >&2
  exit 1
}
stack=${STACK:-maintained}
pinned=(-c "$root/constraints.txt")
case $stack in
  maintained)
    venv=${VENV:-$root/.venv}
    # Built apart from torch, mmcv is a pure wheel, made in seconds.
    provides=(-r "$root/requirements/openmmlab.txt")
    ;;
  openmmlab)
    venv=${VENV:-$root/.venv-openmmlab}
    # mmcv 2.1.0 needs torch and this environment's setuptools to be built.
    provides=(--no-build-isolation -r "$root/requirements/openmmlab_last.txt")
    pinned+=(-c "$root/constraints-openmmlab.txt")
    ;;
  *)
    echo "STACK=$stack, expected maintained or openmmlab" >&2
    exit 2
    ;;
esac
install() {
  "$venv/bin/pip" install --progress-bar off "${pinned[@]}" \
    ${WHEELS:+--find-links "$WHEELS"} "$@"
}
recipe=$(cat "$root"/constraints*.txt "$root"/requirements*.txt \
  "$root"/requirements/*.txt "$root"/setup.py | sha256sum)
if [ "$(cat "$venv/recipe" 2>/dev/null)" != "$recipe" ]; then
  echo "== Install into $venv"
  "$python" -m venv "$venv"
  # torch first and pinned: a later package must not choose another build.
  install torch setuptools wheel
  install "${provides[@]}"
  install -e "$root[docs,minitown,tests,onnx,figures,report,monitor,labels]"
  echo "$recipe" > "$venv/recipe"
fi
export PATH="$venv/bin:$PATH"
cd "$root"
