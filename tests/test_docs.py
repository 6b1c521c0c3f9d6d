# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The documents: commands are understood, snippets parse, links lead there.

Each command is given to the tool's own parser, and each program that is named
is run by a test. A command with a config of GTA5, SYNTHIA or Cityscapes needs
data that cannot be shipped: the same program runs on small data, and
`test_configs` takes two steps by the config.
"""

from __future__ import annotations

import argparse
import ast
import re
import runpy
import shlex
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_cag.launch.cfg_options import merge_options

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    *sorted((ROOT / 'docs').glob('*.md')),
]
FENCE = re.compile(r'^( *)```(\w*)\n(.*?)^ *```$', re.M | re.S)
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
NAMED = re.compile(
    r'`((?:tools|configs|docs|tests|mmseg_cag|requirements)/[\w./-]+\.\w+)`'
)
# What a shell script hands its arguments to, after how many of its own.
SCRIPTS = {
    'tools/dist_train.sh': ('tools/train.py', 1),
    'tools/slurm_train.sh': ('tools/train.py', 1),
    'tools/dist_train_bdl.sh': ('tools/train_bdl.py', 1),
    'tools/dist_test.sh': ('tools/test.py', 2),
    'tools/dist_make_pseudo_labels.sh': ('tools/make_pseudo_labels.py', 3),
    'tools/dist_translate.sh': ('tools/translate.py', 3),
    'tools/quickstart.sh': ('tools/quickstart.py', 0),
}
# The test that runs a program.
RUN_BY = {
    'test_tools/test_gpu_day.py': [
        'tools/benchmarks/gpu_day.sh',
        'tools/benchmarks/gpu_rehearse.sh',
        'tools/benchmarks/gpu_table.py',
    ],
    'test_figures/test_draw_figure.py': ['tools/analysis/draw_figure.py'],
    'test_analysis/test_score_checkpoints.py': [
        'tools/analysis/score_checkpoints.py'
    ],
    'test_demo/test_command.py': ['tools/demo.py'],
    'test_evaluation/test_pseudo_label_quality.py': [
        'tools/analysis/evaluate_pseudo_labels.py'
    ],
    'test_quickstart.py': ['tools/quickstart.sh'],
    'test_engine/test_norm_statistics.py': [
        'tools/model_converters/reestimate_norm.py'
    ],
    'test_tools/test_report.py': ['tools/analysis/report.py'],
    'test_tables/test_make_table.py': ['tools/analysis/make_table.py'],
    'test_tools/test_benchmark.py': ['tools/benchmarks/benchmark_speed.py'],
    'test_tools/test_benchmark_steps.py': [
        'tools/benchmarks/benchmark_steps.py'
    ],
    'test_tools/test_certify.py': ['tools/certify.py'],
    'test_tools/test_check_data.py': ['tools/check_data.py'],
    'test_tools/test_check_gap.py': [
        'tools/benchmarks/benchmark_gap.py',
        'tools/check_gap.py',
    ],
    'test_tools/test_command_lines.py': [
        'tools/dist_test.sh',
        'tools/test.py',
        'tools/train.py',
    ],
    'test_distributed.py': ['tools/dist_train.sh'],
    'test_distributed_joint_batch.py': ['tools/slurm_train.sh'],
    'test_tools/test_dataset_converters.py': [
        'tools/dataset_converters/cityscapes.py',
        'tools/dataset_converters/gta.py',
        'tools/dataset_converters/synthia.py',
    ],
    'test_tools/test_draw_minitown.py': ['tools/draw_minitown.py'],
    'test_tools/test_export_onnx.py': [
        'tools/model_converters/export_onnx.py'
    ],
    'test_tools/test_export_student.py': [
        'tools/model_converters/export_student.py'
    ],
    'test_datasets/test_role_subset.py': ['tools/assign_roles.py'],
    'test_tools/test_freeze_threshold.py': ['tools/freeze_threshold.py'],
    'test_tools/test_label_curve.py': ['tools/label_curve.py'],
    'test_tools/test_leave_one_out.py': ['tools/leave_one_out.py'],
    'test_tools/test_distill.py': ['tools/distill.py'],
    'test_tools/test_export_source_free.py': ['tools/export_source_free.py'],
    'test_tools/test_estimate.py': ['tools/analysis/estimate.py'],
    'test_tools/test_licences.py': ['tools/licences.py'],
    'test_tools/test_fit_anchors.py': ['tools/fit_anchors.py'],
    'test_tools/test_make_pseudo_labels.py': [
        'tools/dist_make_pseudo_labels.sh',
        'tools/make_pseudo_labels.py',
    ],
    'test_tools/test_model_converters.py': [
        'tools/model_converters/import_anchors.py',
        'tools/model_converters/import_checkpoint.py',
    ],
    'test_tools/test_select_images.py': ['tools/select_images.py'],
    'test_tools/test_train_bdl.py': [
        'tools/dist_train_bdl.sh',
        'tools/train_bdl.py',
    ],
    'test_tools/test_translate_command.py': [
        'tools/dist_translate.sh',
        'tools/translate.py',
    ],
}
# Run by no test as a whole: the tests themselves, and chains of trainings of
# an hour, whose parts test_quickstart runs.
RUN_BY_NONE = {
    'tools/run_tests.sh',
    'tools/benchmarks/benchmark_minitown.py',
    'tools/benchmarks/benchmark_real_streets.py',
    'tools/benchmarks/benchmark_reweighting.py',
    'tools/benchmarks/benchmark_unknown.py',
    'tools/benchmarks/benchmark_watch.py',
    'tools/benchmarks/gpu_trainings.sh',
    'tools/benchmarks/sweep_margin.py',
}


def snippets(*languages: str) -> Iterator[tuple[str, str]]:
    """List the fenced blocks of some languages, with the page's name."""
    for page in PAGES:
        for _, language, text in FENCE.findall(page.read_text()):
            if language in languages:
                yield page.name, textwrap.dedent(text)


def commands() -> Iterator[tuple[str, str]]:
    """List the lines of shell blocks, continued ones joined, and of tables."""
    for page in PAGES:
        for row in re.findall(r'^\|.*\|$', page.read_text(), re.M):
            for line in re.findall(r'`(python [^`]+ [^`]+)`', row):
                yield page.name, line
    for page, text in snippets('bash', 'sh', 'shell'):
        for line in text.replace('\\\n', ' ').splitlines():
            if line.strip() and not line.lstrip().startswith('#'):
                yield page, line.strip()


COMMANDS = sorted(set(commands()))
SNIPPETS = sorted(set(snippets('python')))
# Files that a page has the reader write: `# path/of/file.py` comes first.
WRITTEN = {
    match[1]
    for _, text in SNIPPETS
    if (match := re.match(r'# (\S+\.py)\n', text))
}


class Parsed(Exception):
    """A tool has read its command line."""


def words_of(line: str) -> list[str]:
    """Split a command, without comment and environment, `python` dropped."""
    words = shlex.split(line, comments=True)
    while re.match(r'\w+=', words[0]):
        words = words[1:]
    return words[1:] if words[0] in ('python', 'bash') else words


@pytest.fixture
def parse(monkeypatch):
    """Give arguments to a tool's own parser, and stop there."""
    original = argparse.ArgumentParser.parse_args

    def parse_args(self, *args, **kwargs):
        original(self, *args, **kwargs)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_args)

    def run(tool: str, arguments: list[str]) -> None:
        monkeypatch.setattr('sys.argv', [tool, *arguments])
        with pytest.raises(Parsed):
            if tool.endswith('.py'):
                runpy.run_path(str(ROOT / tool), run_name='__main__')
            else:
                runpy.run_module(tool, run_name='__main__')

    return run


@pytest.mark.parametrize(('page', 'line'), COMMANDS)
def test_a_command_is_understood(page, line, parse):
    program, *arguments = words_of(line)
    for word in arguments:
        config = re.sub('^configs/mine', 'configs/custom', word)
        if config.startswith(('configs/', 'tests/', 'requirements/')):
            assert (ROOT / config).exists() or word in WRITTEN, word
    if program.startswith('tools/'):
        assert (ROOT / program).is_file()
        tool, own = SCRIPTS.get(program, (program, 0))
        if program == 'tools/slurm_train.sh':
            assert arguments.pop(0) == 'PARTITION'
        if own:
            gpus = arguments.pop(own)
            assert gpus.isdigit() or gpus == 'GPUS', gpus
        if tool.endswith('.py'):
            parse(tool, arguments)
    elif program == 'export':
        for name in re.findall(r'(\w+)=', line):
            assert is_read(name), name
    elif 'pip' in line.split():
        for extra in re.findall(r'\[(.*?)\]', line):
            for name in extra.split(','):
                assert (ROOT / f'requirements/{name}.txt').is_file()
    elif line.startswith(('python -m tests.', 'python -m mmseg_cag.')):
        module, *arguments = arguments
        assert find_spec(module)
        if arguments:
            parse(module, arguments)
    else:
        assert (program, *arguments[:1]) in (*MODULES, OWN_DATA)


# Stands for the CONFIG of a command.
ANY = 'configs/cag/deeplabv2_gta2cs.py'
ADVERSARIAL = 'configs/adaptsegnet/deeplabv2_gta2cs.py'
OF_PAGE = {
    'dacs': 'configs/dacs/segformer_mit-b2_gta2cs.py',
    'encoders': 'configs/vfm_uda/source_only_dinov2-b_gta2cs.py',
    'foreign_anchors': 'configs/minitown/foreign_anchors.py',
    'vfm_uda': 'configs/vfm_uda/vfmudaplus_dinov2-l_gta2cs.py',
    'weights': 'configs/minitown/source_only_mobilenet-v2.py',
    'daformer': 'configs/daformer/mit-b5_gta2cs.py',
    'hrda': 'configs/hrda/mit-b5_gta2cs.py',
    'mic': 'configs/mic/dacs_segformer_mit-b2_gta2cs.py',
    'anchor_teacher': 'configs/minitown/anchor_teacher.py',
    'norm_statistics': 'configs/minitown/anchor_teacher.py',
    'proda': 'configs/minitown/proda.py',
    'source_free': 'configs/source_free/segformer_effnet-lite0_gta2cs.py',
}
# A setting that a text names, with a value.
NAMED_OPTION = re.compile(
    r'`((?:default_hooks|\w+_dataloader|model|train_cfg|optim_wrapper)'
    r'\.[\w.]+)=[^`]*`'
)


def options() -> Iterator[tuple[str, str]]:
    """List the settings that are overridden, with the config's path."""
    for _, line in COMMANDS:
        words = words_of(line)
        if '--cfg-options' in words:
            start = words.index('--cfg-options') + 1
            [path] = [w for w in words if w.startswith('configs/')] or [ANY]
            path = re.sub('^configs/mine', 'configs/custom', path)
            yield path, ' '.join(w.partition('=')[0] for w in words[start:])
    for page in PAGES:
        for key in NAMED_OPTION.findall(page.read_text()):
            config = OF_PAGE.get(page.stem, ANY)
            yield ADVERSARIAL if '.active_' in key else config, key


@pytest.mark.parametrize(('path', 'keys'), sorted(set(options())))
def test_an_option_is_a_setting(path, keys):
    cfg = Config.fromfile(ROOT / path)
    given = dict.fromkeys(keys.split(), 'x')
    merge_options(cfg, given)
    if cfg.get('start_from') and cfg.start_options:
        start = Config.fromfile(cfg.start_from)
        merge_options(start, cfg.start_options, 'start_options')


MODULES = [
    ('-m', name)
    for name in (
        'pytest',
        'sphinx',
        'tests.faults',
        'tests.fuzz',
        'tests.licences',
    )
]
OWN_DATA = ('cp', '-r')  # configs/custom, whose copies test_own_data trains


def is_read(name: str) -> bool:
    """Whether a config or the package reads a variable of the environment."""
    files = [*ROOT.glob('configs/**/*.py'), *ROOT.glob('mmseg_cag/**/*.py')]
    return any(name in path.read_text() for path in files)


def test_every_program_is_run_by_a_test():
    named = {words_of(line)[0] for _, line in COMMANDS}
    tools = {program for program in named if program.startswith('tools/')}
    known = {program for programs in RUN_BY.values() for program in programs}
    assert tools <= known | RUN_BY_NONE
    for test, programs in RUN_BY.items():
        module = ast.parse((ROOT / 'tests' / test).read_text())
        used = '\n'.join(used_by(module))
        for program in programs:
            assert Path(program).stem in used, (program, test)


def used_by(module: ast.Module) -> Iterator[str]:
    """List the strings of a module that are no docstrings."""
    prose = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and id(node) not in prose:
            yield str(node.value)


# Configs that run on what is drawn or written, and on published data alone.
RUNNABLE = re.compile(
    r'configs/(minitown|mine|my_methods|(many_worlds|few_labels)/\w+_minitown)(/|\.|$)'
)
PUBLISHED = re.compile(
    r'configs/real_streets/\w+\.py|'
    r'configs/\w+/\w[\w-]*_((gta|synthia|gta-synthia)2cs(_16)?|'
    r'cs2(dz|acdc)|all2cs-acdc|real_streets)\.py'
)


def test_a_command_says_by_its_config_which_data_it_needs():
    words = {word for _, line in COMMANDS for word in words_of(line)}
    configs = {word for word in words if word.startswith('configs/')}
    for config in configs - {'configs/custom'}:
        assert RUNNABLE.match(config) or PUBLISHED.fullmatch(config), config
    text = (ROOT / 'docs/README.md').read_text()
    names = '`_gta2cs`, `_synthia2cs`, `_cs2dz` and `_cs2acdc`'
    assert f'{names} need the published data' in text.replace('\n', ' ')


@pytest.mark.parametrize(('page', 'text'), SNIPPETS)
def test_a_snippet_is_python(page, text):
    ast.parse(text)


def slug(heading: str) -> str:
    """Name a heading as GitHub's links do."""
    text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)
    return re.sub(r'[^\w\- ]', '', text.lower()).strip().replace(' ', '-')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = FENCE.sub('', page.read_text())
    for link in LINK.findall(text):
        if '://' in link:
            continue
        name, _, anchor = link.partition('#')
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            content = FENCE.sub('', target.read_text())
            headings = re.findall(r'^#+ (.*)$', content, re.M)
            assert anchor in map(slug, headings), link
    for name in NAMED.findall(text):
        shipped = re.sub('^configs/mine', 'configs/custom', name)
        assert (ROOT / shipped).exists() or name in WRITTEN, name


def test_the_first_page_lists_every_page():
    first = ROOT / 'docs/README.md'
    assert '](docs/README.md)' in (ROOT / 'README.md').read_text()
    pages = {page.name for page in first.parent.glob('*.md')} - {first.name}
    listed = re.findall(r'^- \[.+?\]\((\w+\.md)\)', first.read_text(), re.M)
    assert sorted(listed) == sorted(pages)


def messages(*folders: str) -> Iterator[str]:
    """List the strings of the code, with `…` for what is filled in."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob('*.py')):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [
                        getattr(part, 'value', '') for part in node.values
                    ]
                    yield ''.join(
                        p if isinstance(p, str) else '…' for p in parts
                    )
                elif isinstance(node, ast.Constant):
                    yield str(node.value)


def test_messages_are_those_of_the_code():
    text = (ROOT / 'docs/troubleshooting.md').read_text()
    _, errors = (ROOT / 'docs/labels.md').read_text().split('\n## Errors\n')
    quoted = re.findall(r'^\| `([^`]+)` \|', text + errors, re.M)
    assert len(quoted) > 40
    known = '\n'.join(
        m.replace('\n', ' ') for m in messages('mmseg_cag', 'tools')
    )
    for message in quoted:
        parts = map(re.escape, message.split('…'))
        # Of a line that ends in `…` the rest is left out.
        assert re.search('[^\n]*'.join(parts), known), message
