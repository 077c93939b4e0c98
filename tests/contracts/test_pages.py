"""Pages that are read out of the source say what it says. `make errors` and `make reference` write them anew."""

from __future__ import annotations

from eagleray.spec.finetune import FineTuneSpec
from eagleray.spec.serving import ServingSpec
from tests.support import errors_page, reference_page


def test_page_of_the_errors() -> None:
    assert errors_page.PAGE.read_text(encoding="utf-8") == errors_page.page()


def test_every_kind_of_error_and_every_area_is_told() -> None:
    told = errors_page.found()

    assert len(told) > 300
    assert {each.kind for each in told} >= {"UserError", "DataError", "ModelSourceError", "StorageError", "document"}
    assert errors_page.AREAS.keys() <= {
        folder.name for folder in errors_page.SOURCE.iterdir() if (folder / "__init__.py").exists()
    }


def test_most_messages_say_what_to_do() -> None:
    """Some say what is allowed in their first half, or hand on what another program said."""
    told = errors_page.found()

    assert sum(bool(each.remedy) for each in told) > 0.65 * len(told)


def test_page_of_the_keys() -> None:
    assert reference_page.PAGE.read_text(encoding="utf-8") == reference_page.page()


def test_every_section_of_a_document_is_told() -> None:
    keys = reference_page.keys()

    assert {f"spec.{name}" for name in FineTuneSpec.model_fields} <= keys
    assert {f"spec.{name}" for name in ServingSpec.model_fields} <= keys
    assert {"metadata.name", "spec.train.epochs", "spec.scale.zero.stage", "spec.sweep.search.type"} <= keys
