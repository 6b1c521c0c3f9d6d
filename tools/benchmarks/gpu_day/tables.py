# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Make tables of the results; the first row of each is the heads.

Needs neither torch nor mmseg: it also reports when they are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

HOUR = 3.6e6  # milliseconds
# How many of those that were left out are named.
NAMED = 4
Rows = list[list[str]]


def status_rows(found: dict) -> Rows:
    """List how each part ended."""
    rows = [['part', 'about', 'ended', 's', 'why']]
    for letter, part in found['parts'].items():
        seconds = f'{part.get("seconds", 0):.0f}'
        rows.append(
            [letter, part['title'], part['status'], seconds, part['message']]
        )
    return rows


def machine_rows(results: dict, options: dict) -> Rows:
    """List the GPU's measured speeds."""
    rows = [['of the card', 'reached']]
    if 'copy_gb_s' in results:
        speed = f'{results["copy_gb_s"]:.0f} GB/s, read and written'
        rows.append(['copy', speed])
    for name, product in results.get('products', {}).items():
        reached = f'{product["tflops"]:.1f} TFLOP/s'
        rows.append([f'product in {name}', reached])
    return rows


def test_rows(results: dict, options: dict) -> Rows:
    """Count tests."""
    rows = [['tests', 'number']]
    rows += [[key, str(results[key])] for key in ('passed', 'skipped')]
    rows.append(['failed', str(len(results['failed']))])
    rows.append(['not run', str(results.get('not_run', ''))])
    rows += [[f'`{k}`', v] for k, v in sorted(results['failed'].items())]
    return rows


def anchor_rows(results: dict, options: dict) -> Rows:
    """Compare anchor operations with loops and the floor."""
    rows = [['operation', 'form', 'GPU, ms', 'times the floor',
             'times as fast as loops', 'memory / features']]  # fmt: skip
    for form, operations in results['forms'].items():
        for name, found in operations.items():
            loop = found['loop']
            ratio = loop['median'] / found['median'] if loop else None
            rows.append(
                [
                    name,
                    form,
                    spread(found, 3),
                    f'{found["median"] / found["floor"]:.1f}',
                    f'{ratio:.0f}' if ratio else '',
                    f'{found["memory"]:.2f}',
                ]
            )
    return rows + left_rows(results, rows)


def left_rows(results: dict, rows: Rows) -> Rows:
    """Name what no time was left for, in a row as wide as others."""
    left = results.get('left', [])
    if not left:
        return []
    names = '; '.join(left[:NAMED]) + '; …' * (len(left) > NAMED)
    told = f'no time was left for {len(left)}'
    return [[told, names, *[''] * (len(rows[0]) - 2)]]


def release_rows(results: dict, options: dict) -> Rows:
    """Compare the step in each form with its passes and with fp32."""
    rows = [['form', 'step, ms', 'passes, ms', 'step / passes', 'images / s',
             'times fp32', 'memory, GB', 'labels as in fp32, %',
             'schedule, h', 'GPU: step, passes, ms', 'GPU: step / passes',
             'images, losses, labels, update, ms',
             'launched in, ms']]  # fmt: skip
    full = results['forms'].get('fp32', {}).get('whole', {}).get('median')
    for name, form in results['forms'].items():
        if 'fault' in form:
            rows.append([name, form['fault'], *[''] * (len(rows[0]) - 2)])
            continue
        step, passes = (form[key]['median'] for key in ('whole', 'passes'))
        rows.append(
            [
                name,
                spread(form['whole'], 1),
                spread(form['passes'], 1),
                f'{step / passes:.3f}',
                f'{2e3 * results["batch"] / step:.1f}',
                f'{full / step:.2f}' if full else '',
                f'{form["memory"] / 1e9:.1f}',
                agreement(form),
                f'{step * results["iters"] / HOUR:.1f}',
                *on_the_gpu(form),
                step_parts(form),
                launches(form),
            ]
        )
    return rows


def agreement(form: dict) -> str:
    """Format the share of labels as in fp32, where there are any."""
    if not form['active'] or 'agreement' not in form:
        return ''
    return f'{100 * form["agreement"]:.2f}'


def launches(form: dict) -> str:
    """Format the time in which the host launches a step."""
    host = form['whole'].get('gpu', {}).get('host')
    if not host:
        return ''
    # A host whose queue is full waits for the GPU.
    waits = host > form['whole']['median'] / 2
    return f'at most {host:.1f}' if waits else f'{host:.1f}'


def on_the_gpu(form: dict) -> list[str]:
    """Format the times of step and passes without launches, and ratio."""
    if 'gpu' not in form['whole']:
        return ['', '']
    both = [form[key]['gpu'] for key in ('whole', 'passes')]
    # The queue holds the first launches of a call; later ones may limit it.
    limited = [of['host'] > of['median'] for of in both]
    times = [
        f'at most {of["median"]:.1f}' if late else f'{of["median"]:.1f}'
        for of, late in zip(both, limited, strict=True)
    ]
    step, passes = (of['median'] for of in both)
    ratio = '' if any(limited) else f'{step / passes:.3f}'
    return [', '.join(times), ratio]


def step_parts(form: dict) -> str:
    """Format the times of a step's parts: its images, forward and update."""
    keys = [key for key in ('prepare', 'losses', 'labels') if key in form]
    times = [form[key]['median'] for key in keys]
    times += [form['update_ms']] if keys else []
    return ', '.join(f'{ms:.1f}' for ms in times)


def recipe_rows(results: dict, options: dict) -> Rows:
    """List step and whole schedule of each recipe."""
    price = options.get('price')
    rows = [['recipe', 'source, target', 'form', 'step, ms', 'calls',
             'images / s', 'optimizer, teacher, ms', 'peak, GB', 'iterations',
             'schedule, h']]  # fmt: skip
    if price:
        rows[0].append(f'cost at {price:g} an hour')
    for name, recipe in results['recipes'].items():
        if 'fault' in recipe:
            rows.append([name, recipe['fault'], *[''] * (len(rows[0]) - 2)])
        if 'forms' not in recipe:
            continue
        images = recipe['batch'] * len(recipe['sizes'])
        sizes = ', '.join(
            f'{recipe["batch"]} x {width} x {height}'
            for height, width in recipe['sizes'].values()
        )
        for form, found in recipe['forms'].items():
            hours = found['ms'] * recipe['iters'] / HOUR
            row = [
                name,
                sizes,
                form,
                f'{found["ms"]:.1f}',
                str(found.get('calls', '')),
                f'{1e3 * images / found["ms"]:.1f}',
                updates(found),
                f'{found["peak"] / 1e9:.1f}' if found['peak'] else '',
                f'{recipe["iters"]:,}',
                f'{hours:.1f}',
            ]
            rows.append(row + ([f'{hours * price:.0f}'] if price else []))
    return rows + left_rows(results, rows)


def updates(found: dict) -> str:
    """Format the times of a step's updates."""
    times = (found.get(key) for key in ('optimizer_ms', 'teacher_ms'))
    return ', '.join('' if ms is None else f'{ms:.1f}' for ms in times)


def training_rows(results: dict, options: dict) -> Rows:
    """List duration and mIoU of the trainings."""
    rows = [['training', 'iterations', 's', 'loss', 'target mIoU, %']]
    if 'random' in results:
        rows.append(['from random weights', results['random'], '', '', ''])
    for name, run in results['runs'].items():
        if 'fault' in run:
            rows.append([name, run['fault'], '', '', ''])
            continue
        figures = [f'{run["loss"]:.3f}', f'{run["miou"]:.1f}']
        rows.append([name, str(run['iters']), f'{run["seconds"]}', *figures])
    return rows


def loading_rows(results: dict, options: dict) -> Rows:
    """Compare images per second, loaded and consumed."""
    rows = [['images', 'a second']]
    for name, form in results['forms'].items():
        title = f'loaded on {results["cores"]} cores, decoded {name}'
        rows.append([title, f'{form["images_s"]:.0f}'])
    for name, speed in results['eaten'].items():
        rows.append([f'eaten by the step, {name}', f'{speed:.0f}'])
    return rows


ROWS: dict[str, Callable[[dict, dict], Rows]] = dict(
    a=machine_rows,
    b=test_rows,
    c=anchor_rows,
    d=release_rows,
    e=recipe_rows,
    g=loading_rows,
    f=training_rows,
)


def make_tables(found: dict, **options: float | None) -> Iterator[tuple]:
    """Yield title and rows of the parts with results.

    Args:
        found: Content of the results file.
        **options: ``price`` per hour.
    """
    for letter, part in found['parts'].items():
        if not part['results']:
            continue
        try:
            rows = ROWS[letter](part['results'], options)
        except KeyError:  # it was stopped before its first results
            continue
        yield f'{letter}: {part["title"]}', rows


def describe(found: dict) -> str:
    """Describe date, machine and versions of the measurements."""
    # In files of earlier versions (a) alone has it.
    of_part = found['parts'].get('a', {}).get('results', {})
    machine = found.get('machine', of_part)
    if not machine:
        return f'Measured on {found["started"]}.'
    versions = ', '.join(
        f'{name} {version}' for name, version in machine['versions'].items()
    )
    card = 'on the CPU'
    if 'card' in machine:
        card = (
            f'on one {machine["card"]} ({machine["card_gib"]:.0f} GiB, driver '
            f'{machine["driver"]}, CUDA {machine["cuda"]}, cuDNN '
            f'{machine["cudnn"]}, NCCL {machine["nccl"]})'
        )
    rehearsed = 'A rehearsal, no measurement. ' if found['rehearsal'] else ''
    return (
        f'{rehearsed}Measured on {found["started"]}, {card}, '
        f'{machine["cores"]} CPU cores, Python {machine["python"]}, '
        f'{versions}.'
    )


def to_markdown(found: dict, **options: float | None) -> str:
    """Render all tables for a document."""
    tables = [('', status_rows(found)), *make_tables(found, **options)]
    blocks = [describe(found)]
    for title, (heads, *rows) in tables:
        rows = [[cell.replace('|', '\\|') for cell in row] for row in rows]
        lines = [heads, ['---'] * len(heads), *rows]
        table = '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
        blocks += [f'**{title}**'] * bool(title) + [table]
    return '\n\n'.join(blocks)


def print_tables(found: dict) -> None:
    """Print all tables as plain text."""
    for title, rows in [('', status_rows(found)), *make_tables(found)]:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        print(f'\n{title}')
        for row in rows:
            cells = (
                cell.ljust(width)
                for cell, width in zip(row, widths, strict=True)
            )
            print('  '.join(cells).rstrip())
    print(f'\n{describe(found)}')


def spread(found: dict, digits: int) -> str:
    """Format a median with its 10-90 % range."""
    median, low, high = (found[key] for key in ('median', 'p10', 'p90'))
    return f'{median:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})'
