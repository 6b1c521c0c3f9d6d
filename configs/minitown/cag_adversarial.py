# CAG-UDA from AdaptSegNet's network.
_base_ = './cag.py'
start_from = '{{ fileDirname }}/adaptsegnet.py'
