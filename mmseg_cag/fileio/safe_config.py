# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Loading configs, and parsing dumped ones as data only."""

from __future__ import annotations

import ast
import os
from linecache import getline
from pathlib import Path
from traceback import walk_tb
from typing import Any

from mmengine.config import Config

from mmseg_cag.errors import UserError

# Too deep nesting raises the last two in the parser.
FAULTS = (
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    MemoryError,
    RecursionError,
)


# Characters that end a quoted string or are special in it.
QUOTES = ('\\', "'", '"')


def load_config(path: str | Path) -> Config:
    """Load a config file with any folder names.

    mmengine substitutes environment variables into a config's text, where
    ``'{{$GTA_ROOT:data/gta}}'`` would end at an apostrophe.

    Args:
        path: The file; it is executed.

    Raises:
        UserError: It cannot be read; the message says why.
    """
    kept = {k: v for k, v in os.environ.items() if any(map(v.count, QUOTES))}
    for name, value in kept.items():
        for character in QUOTES:
            value = value.replace(character, f'\\{character}')
        # Used as a replacement pattern, which needs double backslashes.
        os.environ[name] = value.replace('\\', '\\\\')
    try:
        return Config.fromfile(path)
    except SyntaxError as error:
        folder = Path(path).resolve().parent
        reason = str(error).partition('\n')[0]
        if any(map(str(folder).count, QUOTES)):
            reason = f'{folder} has a quote in its name, rename it'
        raise UserError(f'{path}: invalid Python, {reason}') from error
    except UserError:
        raise
    except Exception as error:  # it is code and can raise anything
        reason = ' '.join(str(error).split()) or 'no more is known'
        raise UserError(
            f'{path}: cannot be read as a config, {type(error).__name__}: '
            f'{reason}{_place(error)}'
        ) from error
    finally:
        os.environ.update(kept)


def _place(error: Exception) -> str:
    """Describe the line of a config, or of its base, that failed."""
    file = place = ''
    for frame, line in walk_tb(error.__traceback__):
        if frame.f_code.co_name == '_file2dict':  # of mmengine
            file = frame.f_locals.get('filename', file)
        elif frame.f_code.co_filename in ('', file) and file:
            place = f' (line {line} of {file}: {getline(file, line).strip()})'
    return place


def parse_config(text: str, name: str) -> Config:
    """Parse assignments of plain values, as dumped by mmengine.

    ``Config.fromstring`` would run the text as Python.

    Args:
        text: Lines ``key = value`` of literals and of ``dict(key=value)``.
        name: Origin of the text, for messages.

    Raises:
        UserError: The text contains anything else.
    """
    try:
        values = dict(_assignment(line) for line in ast.parse(text).body)
        return Config(values, cfg_text=text)
    except FAULTS as error:
        cause = str(error).partition('\n')[0]
        raise UserError(
            f'{name}: its config is not plain data ({cause})'
        ) from error


def _assignment(line: ast.stmt) -> tuple[str, Any]:
    match line:
        case ast.Assign(targets=[ast.Name(id=key)], value=value):
            return key, _value(value)
    raise ValueError(f'line {line.lineno} is no assignment')


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id='dict'), args=[], keywords=words) if (
            all(word.arg for word in words)
        ):
            return {word.arg: _value(word.value) for word in words}
        case ast.Call(
            func=ast.Name(id='dict'), args=[ast.Dict() as items], keywords=[]
        ):
            return _value(items)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = zip(keys, values, strict=True)
            return {_value(key): _value(value) for key, value in pairs}
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Constant() | ast.UnaryOp():
            return ast.literal_eval(node)
    raise ValueError(f'line {node.lineno} has {ast.unparse(node)[:40]}')
