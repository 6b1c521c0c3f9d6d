# Sourced by the dist_*.sh scripts: starts a tool of this folder with torchrun.
#   launch GPUS TOOL [arguments]
# GPUS is the number of processes on this machine, one a GPU; 0 asks for one
# process on the CPU. Without any GPU all of them run on the CPU.
#   NNODES, NODE_RANK         machines, and which of them this is (1, 0)
#   MASTER_ADDR, PORT         where the first one listens (127.0.0.1, 29500)
launch() {
  local gpus=$1 tool=$2 nodes=${NNODES:-1} node=${NODE_RANK:-0} root found
  shift 2
  [[ $gpus =~ ^[0-9]+$ ]] || { echo "GPUS=$gpus, expected a number" >&2; exit 2; }
  [ "$node" -lt "$nodes" ] || {
    echo "error: NODE_RANK=$node, expected less than NNODES=$nodes" >&2
    exit 2
  }
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
  [ "$gpus" -gt 0 ] || { gpus=1; export CUDA_VISIBLE_DEVICES=; }
  if [ -n "${CUDA_VISIBLE_DEVICES-all}" ]; then
    found=$(python -c 'import torch; print(torch.cuda.device_count())')
    [ "$found" -eq 0 ] || [ "$gpus" -le "$found" ] || {
      echo "error: GPUS=$gpus, but there are $found; expected at most that," \
        "or 0 for the CPU" >&2
      exit 2
    }
  fi
  exec python -m torch.distributed.run \
    --nnodes="$nodes" --node_rank="$node" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$gpus" \
    "$root/tools/$tool" "$@"
}
