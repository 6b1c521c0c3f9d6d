# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Packaging.

mmsegmentation itself is no dependency: two families of packages provide it
under the same import name, and neither may replace the other.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Put configs, tools and the model index into a wheel.

    They go where OpenMMLab's mim looks for them: `<package>/.mim`.
    """

    def run(self) -> None:
        """Build; an editable installation finds them in the checkout."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, 'mmseg_cag', '.mim')
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copy(ROOT / 'model-index.yml', target)
        for name in ('configs', 'tools'):
            shutil.copytree(
                ROOT / name,
                target / name,
                ignore=shutil.ignore_patterns('__pycache__'),
            )


def read_requirements(path: Path) -> list[str]:
    """Read requirements, without comments."""
    lines = path.read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def read_version() -> str:
    """Read the version that the package states."""
    text = (ROOT / 'mmseg_cag' / 'version.py').read_text()
    return re.search(r"__version__ = '(.+)'", text).group(1)


setup(
    name='mmseg_cag',
    version=read_version(),
    description='Unsupervised domain adaptation for mmsegmentation 1.x by '
    'category anchors',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=find_packages(include=['mmseg_cag*']),
    package_data={
        'mmseg_cag.analysis.report': [
            'templates/*',
            'templates/sections/*',
        ]
    },
    install_requires=read_requirements(ROOT / 'requirements.txt'),
    extras_require={
        path.stem: read_requirements(path)
        for path in sorted(ROOT.glob('requirements/*.txt'))
    },
    cmdclass={'build_py': BuildWithConfigs},
)
