# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The model index and its metafiles, as OpenMMLab's mim reads them."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from tables.published import GTA5, SOURCES, SYNTHIA

import mmseg_cag
from mmseg_cag.models.student import LABEL_LOADERS

ROOT = Path(__file__).parents[1]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
FILES = {
    name: yaml.safe_load((ROOT / name).read_text()) for name in INDEX['Import']
}
COLLECTIONS = [c for file in FILES.values() for c in file['Collections']]
MODELS = [model for file in FILES.values() for model in file['Models']]
# Rows of the tables in docs/minitown.md (of two CPU cores: the last stage
# counts) and docs/real_streets.md.
ROWS = {
    'minitown_source_only': 'source only',
    'minitown_self_training': 'self-training by probability > 0.95, stage 3',
    'minitown_adaptsegnet': 'AdaptSegNet',
    'minitown_clan': 'CLAN',
    'minitown_cag': 'CAG, stage 3',
    'minitown_cag_adversarial': 'CAG from AdaptSegNet, stage 3',
    'minitown_oracle': 'oracle (target labels)',
    'real_streets_source_only': 'source only',
    'real_streets_oracle': 'oracle (target labels)',
}
FOLDERS = {path.parent.name for path in ROOT.glob('configs/[!_]*/*.py')}
# Rows of `tables.published`.
QUOTED = {
    'source_only_deeplabv2_gta2cs': 'Source only',
    'adaptsegnet_deeplabv2_single_gta2cs': 'AdaptSegNet',
    'adaptsegnet_deeplabv2_gta2cs': 'AdaptSegNet, multi level',
    'adaptsegnet_deeplabv2_ls_gta2cs': 'AdaptSegNet, least squares',
    'bdl_deeplabv2_ssl_gta2cs': 'BDL',
    'clan_deeplabv2_gta2cs': 'CLAN',
    'cag_deeplabv2_gta2cs': 'CAG',
    'proda_deeplabv2_gta2cs': 'ProDA, stage 1',
    'proda_deeplabv2_synthia2cs_16': 'ProDA, stage 1',
    'daformer_mit-b5_gta2cs': 'DAFormer',
    'hrda_mit-b5_gta2cs': 'HRDA',
    'mic_hrda_mit-b5_gta2cs': 'MIC on HRDA',
    'vfm_uda_vfmuda_dinov2-b_gta2cs': 'VFM-UDA on DINOv2-B',
    'vfm_uda_vfmuda_dinov2-l_gta2cs': 'VFM-UDA on DINOv2-L',
    'vfm_uda_vfmudaplus_dinov2-l_gta2cs': 'VFM-UDA++ on DINOv2-L',
}


@pytest.mark.parametrize('folder', sorted(FOLDERS))
def test_a_folder_of_configs_says_what_is_in_it(folder):
    configs = ROOT / 'configs' / folder
    text = (configs / 'README.md').read_text()
    text = re.sub(r'\{[\w,]+\}', '*', text)  # as in a shell
    patterns = re.findall(r'`([\w*-]+\.py)`', text)
    for path in configs.glob('*.py'):
        assert any(fnmatch(path.name, pattern) for pattern in patterns), path
    for link in re.findall(r'\]\((?!http)([^)#]+)', text):
        assert (configs / link).exists(), link
    # A user's own results are not the project's.
    assert (configs / 'metafile.yaml').is_file() or folder == 'custom'


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == mmseg_cag.__version__


def test_every_metafile_is_imported():
    written = {
        str(path.relative_to(ROOT))
        for path in ROOT.glob('configs/**/metafile.y*ml')
    }
    assert written == set(INDEX['Import'])


def test_collections_are_complete():
    names = [collection['Name'] for collection in COLLECTIONS]
    assert len(set(names)) == len(names)
    for collection in COLLECTIONS:
        assert collection.keys() >= {'License', 'Metadata', 'Frameworks'}
        assert (ROOT / collection['README']).is_file()


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_a_model_is_complete(model):
    config = Path(model['Config'])
    assert (ROOT / config).is_file()
    assert model['Name'] == f'{config.parent.name}_{config.stem}'
    assert model['In Collection'] in [c['Name'] for c in COLLECTIONS]
    assert model['Metadata'].keys() >= {'Training Data', 'Architecture'}
    [result] = model['Results']
    assert result.keys() == {'Task', 'Dataset', 'Metrics'}
    assert ('Quoted' in model['Metadata']) != ('Measured' in model['Metadata'])


def test_what_was_measured_is_what_the_docs_say():
    towns = (ROOT / 'docs/minitown.md').read_text()
    towns = towns[towns.index('### Before, on two CPU cores') :]
    streets = (ROOT / 'docs/real_streets.md').read_text()
    measured = [m for m in MODELS if 'Measured' in m['Metadata']]
    assert {model['Name'] for model in measured} == ROWS.keys()
    for model in measured:
        row = re.escape(ROWS[model['Name']])
        text = streets if model['Name'].startswith('real_') else towns
        mean, sd = re.search(rf'\| {row} \| (.+?) \| (.+?) \|', text).groups()
        metrics = model['Results'][0]['Metrics']
        assert metrics == {'mIoU': float(mean), 'mIoU sd': float(sd)}


def test_what_is_quoted_is_what_was_published():
    quoted = [m for m in MODELS if 'Quoted' in m['Metadata']]
    assert {model['Name'] for model in quoted} == QUOTED.keys()
    for model in quoted:
        table = SYNTHIA if 'synthia' in model['Name'] else GTA5
        rows = {row.method: row for row in table}
        row = rows[QUOTED[model['Name']]]
        assert model['Results'][0]['Metrics'] == row.means
        assert model['Metadata']['Quoted'].endswith('not measured here')
        start = SOURCES[row.source].partition(',')[0]
        assert model['Metadata']['Quoted'].startswith(start)


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_a_model_is_tested_as_mmsegs_apis_run_it(model):
    cfg = Config.fromfile(ROOT / model['Config'])
    tested = cfg.test_dataloader.dataset.pipeline
    assert cfg.test_pipeline == [
        step for step in tested if step.type not in LABEL_LOADERS
    ]
