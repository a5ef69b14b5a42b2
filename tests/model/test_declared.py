"""dvc.yaml and bentofile.yaml name exactly the imported files, including modules that you have added."""

from pathlib import Path

from tests.declared import IN_THE_IMAGE, image_sources, stage_sources
from tests.imports import Sources

ROOT = Path(__file__).parents[2]
SOURCES = Sources((ROOT,))


def test_a_stage_depends_on_what_it_imports() -> None:
    for module, sources in stage_sources(ROOT / "dvc.yaml").items():
        imported = SOURCES.files_reached(module, lazily=True)
        assert sources == imported, f"dvc.yaml: the stage that runs {module} must depend on exactly these files"


def test_the_image_has_what_the_service_imports() -> None:
    imported = SOURCES.files_reached(*IN_THE_IMAGE)
    assert image_sources(ROOT / "bentofile.yaml") == imported, "bentofile.yaml must include exactly these files"


def test_your_files_import_only_what_is_shared() -> None:
    for module in SOURCES.modules():
        if module.startswith("model."):
            rooms = {
                name.split(".")[1] for name in SOURCES.imported(module, lazily=True) if name.startswith("lifecycle.")
            }
            assert rooms <= {"shared"}, f"{module} imports from lifecycle/{', lifecycle/'.join(sorted(rooms))}"
