"""The versions in MLflow's model registry. Which registry that is, `store.py` knows."""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lifecycle.shared.console import UserError
from model import contract

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
_COMMIT = re.compile(r"[0-9a-f]{40}")
# A tag of a version: its last promotion. With a time behind it, tags of the model: all promotions, found in one call.
_PROMOTED = "promoted"
_MOST = 10_000  # versions; MLflow gives no more at a time
_T = TypeVar("_T")


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        number: Of the version.
        run: The MLflow run that it comes from.
        tags: Its lineage, by name; texts, the structured ones in JSON.
        created: When it was registered.
    """

    number: int
    run: str
    tags: Mapping[str, str]
    created: datetime

    @property
    def commit(self) -> str:
        """The commit it was made from; empty where its tag is none."""
        found = self.tags.get("commit", "")
        return found if _COMMIT.fullmatch(found) else ""

    @property
    def was_champion(self) -> bool:
        """Whether it is or has been in production."""
        return _PROMOTED in self.tags

    @property
    def deployed(self) -> bool:
        """Whether it went to a host when it was made the champion the last time."""
        return bool(self.structured(_PROMOTED).get("deployed"))

    def structured(self, name: str) -> Any:
        """A tag that is JSON; an empty mapping where there is none."""
        return json.loads(self.tags.get(name, "{}"))


@dataclass(frozen=True)
class Promotion:
    """That a version became the champion.

    Attributes:
        at: When.
        number: Of the version.
        who: Did it.
        why: Was it done.
    """

    at: datetime
    number: int
    who: str
    why: str


class Registry:
    """An opened registry.

    Attributes:
        uri: MLflow's address of it.
    """

    def __init__(self, uri: str, fetch: Callable[[str], None]) -> None:
        """Use `store.opened` or `store.change`."""
        import mlflow

        self.uri = uri
        self._client: MlflowClient = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._fetch = fetch

    def newest(self, most: int) -> list[Version]:
        """The newest versions, the newest first."""
        return self._search("", most)

    def after(self, number: int) -> list[Version]:
        """The versions after one, the newest first."""
        return self._search(f" and version_number > {number}", _MOST)

    def version(self, number: int) -> Version:
        """A version.

        Raises:
            UserError: Where there is none with this number.
        """
        found = self._known(lambda: self._client.get_model_version(contract.NAME, str(number)))
        if found is None:
            raise UserError(f"there is no version {number} of {contract.NAME}. `make registry` shows which there are.")
        return _version(found)

    def of_commit(self, commit: str) -> Version | None:
        """The version that was made from a commit."""
        found = self._search(f" and tags.commit = '{commit}'", 1)
        return found[0] if found else None

    def champion(self) -> Version | None:
        """The version in production."""
        found = self._known(lambda: self._client.get_model_version_by_alias(contract.NAME, CHAMPION))
        return _version(found) if found else None

    def register(self, run: str, tags: Mapping[str, str]) -> Version:
        """Make a version of a run's model, unless the commit in its tags has one already."""
        existing = self.of_commit(tags["commit"])
        if existing:
            return existing
        if self._known(lambda: self._client.get_registered_model(contract.NAME)) is None:
            with self._errors_for_people():
                self._client.create_registered_model(contract.NAME, description=contract.TARGET_DESCRIPTION)
        with self._errors_for_people():
            outputs = self._client.get_run(run).outputs
            models = [one.model_id for one in outputs.model_outputs] if outputs else []
            model = self._client.get_logged_model(models[0])
            made = self._client.create_model_version(
                contract.NAME, model.artifact_location, run, dict(tags), model_id=model.model_id
            )
        return _version(made)

    def promote(self, number: int, who: str, why: str, *, deployed: bool) -> None:
        """Make a version the champion, and record it; nothing where it is that and its record is there.

        Args:
            number: Of the version.
            who: Does it.
            why: Is it done.
            deployed: Whether it runs on a host that this repository deploys to.
        """
        champion, name, past = self.champion(), str(self.version(number).number), self.history()
        with self._errors_for_people():
            if champion is None or champion.number != number:
                self._client.set_registered_model_alias(contract.NAME, CHAMPION, name)
            # The alias keeps no history.
            if not past or past[-1].number != number:
                said = {"number": number, "who": who, "why": why}
                last = json.dumps({**said, "deployed": deployed}, ensure_ascii=False)
                self._client.set_model_version_tag(contract.NAME, name, _PROMOTED, last)
                key = f"{_PROMOTED}.{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
                self._client.set_registered_model_tag(contract.NAME, key, json.dumps(said, ensure_ascii=False))

    def history(self) -> list[Promotion]:
        """Who was made champion, the first at first."""
        model = self._known(lambda: self._client.get_registered_model(contract.NAME))
        found = [
            Promotion(datetime.fromisoformat(key.removeprefix(f"{_PROMOTED}.")), **json.loads(said))
            for key, said in (model.tags if model else {}).items()
            if key.startswith(f"{_PROMOTED}.")
        ]
        return sorted(found, key=lambda one: one.at)

    def add_document(self, run: str, commit: str, name: str, text: str) -> None:
        """Keep a text with the version of a run that was made from a commit."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with tempfile.TemporaryDirectory() as folder, self._errors_for_people():
            file = Path(folder, name)
            file.write_text(text, encoding="utf-8")
            # Not by the client: it remembers where the artifacts of a run lie, also when the registry has been opened
            # anew in another folder.
            artifacts = get_artifact_repository(self._artifacts(run), tracking_uri=self.uri)
            artifacts.log_artifact(str(file), _documents(commit))  # type: ignore[no-untyped-call]  # MLflow's

    def document(self, version: Version, name: str) -> str:
        """A text that was kept with a version.

        Raises:
            UserError: Where it is not there.
        """
        import mlflow

        self._fetch(version.run)
        with tempfile.TemporaryDirectory() as folder, self._errors_for_people():
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{self._artifacts(version.run)}/{_documents(version.commit)}/{name}",
                dst_path=folder,
                tracking_uri=self.uri,
            )
            return Path(path).read_text(encoding="utf-8")

    def model(self, version: Version, folder: Path) -> Path:
        """The model folder of a version, put into a folder.

        Raises:
            UserError: Where it is not there.
        """
        import mlflow

        self._fetch("")
        with self._errors_for_people():
            source = self._client.get_model_version(contract.NAME, str(version.number)).source
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{source}/artifacts/model", dst_path=str(folder), tracking_uri=self.uri
            )
        return Path(found)

    def _artifacts(self, run: str) -> str:
        """The address of a run's artifacts."""
        return str(self._client.get_run(run).info.artifact_uri)

    def _search(self, condition: str, most: int) -> list[Version]:
        asked = f"name = '{contract.NAME}'{condition}"
        with self._errors_for_people():
            found = self._client.search_model_versions(asked, max_results=most, order_by=["version_number DESC"])
        return [_version(one) for one in found]

    def _known(self, ask: Callable[[], _T]) -> _T | None:
        """The answer to a question; None where MLflow does not know what is asked for."""
        from mlflow.exceptions import MlflowException

        with self._errors_for_people():
            try:
                return ask()
            except MlflowException as error:
                # By the first it has no such model or version, by the second the model has no such alias.
                if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    return None
                raise

    @contextmanager
    def _errors_for_people(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"the registry at {self.uri} did not do what it was asked: {reason}") from error


def _version(found: "ModelVersion") -> Version:
    created = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    return Version(int(found.version), str(found.run_id), found.tags, created)


def _documents(commit: str) -> str:
    """Where in its run's artifacts the documents of a version are; several versions may come of one run."""
    return f"versions/{commit}"
