"""The versions in MLflow's model registry. `store.py` opens the registry."""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lifecycle.shared.console import UserError, first_line
from model import contract

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Tag of a version with its last promotion. With a time appended, tags of the model: one call returns all promotions.
_PROMOTED = "promoted"
_MOST = 10_000  # versions; MLflow's limit for a single search
_T = TypeVar("_T")


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        number: Version number.
        run: Id of the MLflow run that logged the model.
        tags: Lineage by name, as texts; structured values are JSON.
        created: Time of the registration.
    """

    number: int
    run: str
    tags: Mapping[str, str]
    created: datetime

    @property
    def commit(self) -> str:
        """The commit that the model was trained from; empty if the tag is missing or no commit hash."""
        commit = self.tags.get("commit", "")
        return commit if _COMMIT.fullmatch(commit) else ""

    @property
    def was_champion(self) -> bool:
        """Whether it is or was the champion."""
        return _PROMOTED in self.tags

    @property
    def deployed(self) -> bool:
        """Whether its last promotion deployed it to a host."""
        return bool(self.structured(_PROMOTED).get("deployed"))

    def structured(self, name: str) -> Any:
        """Parse a tag that is JSON; an empty mapping if there is no such tag."""
        return json.loads(self.tags.get(name, "{}"))


@dataclass(frozen=True)
class Promotion:
    """A promotion of a version to champion.

    Attributes:
        at: Time of the promotion.
        number: Version number.
        who: GitHub user, or git user name, who promoted it.
        why: Reason given for the promotion.
    """

    at: datetime
    number: int
    who: str
    why: str


class Registry:
    """An opened registry.

    Attributes:
        uri: Address of the registry for MLflow.
    """

    def __init__(self, uri: str, fetch: Callable[[str], None]) -> None:
        """Create a registry; use `store.open_registry` or `store.change` instead."""
        import mlflow

        self.uri = uri
        self._client: MlflowClient = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._fetch = fetch

    def newest(self, limit: int) -> list[Version]:
        """Return the newest versions in descending order."""
        return self._search("", limit)

    def after(self, number: int) -> list[Version]:
        """Return the versions with a higher number, in descending order."""
        return self._search(f" and version_number > {number}", _MOST)

    def version(self, number: int) -> Version:
        """Return the version with a number.

        Raises:
            UserError: If there is no such version.
        """
        version = self._if_known(lambda: self._client.get_model_version(contract.NAME, str(number)))
        if version is None:
            raise UserError(f"there is no version {number} of {contract.NAME}. `make registry` lists the versions.")
        return _version(version)

    def of_commit(self, commit: str) -> Version | None:
        """Return the version whose model was trained from a commit; None if there is none."""
        versions = self._search(f" and tags.commit = '{commit}'", 1)
        return versions[0] if versions else None

    def champion(self) -> Version | None:
        """Return the version in production; None if there is none yet."""
        version = self._if_known(lambda: self._client.get_model_version_by_alias(contract.NAME, CHAMPION))
        return _version(version) if version else None

    def register(self, run: str, tags: Mapping[str, str]) -> Version:
        """Register a run's model as a version; return the existing version if the commit in the tags has one."""
        existing = self.of_commit(tags["commit"])
        if existing:
            return existing
        if self._if_known(lambda: self._client.get_registered_model(contract.NAME)) is None:
            with self._errors_for_people():
                self._client.create_registered_model(contract.NAME, description=contract.TARGET.description)
        with self._errors_for_people():
            outputs = self._client.get_run(run).outputs
            models = [output.model_id for output in outputs.model_outputs] if outputs else []
            model = self._client.get_logged_model(models[0])
            registered = self._client.create_model_version(
                contract.NAME, model.artifact_location, run, dict(tags), model_id=model.model_id
            )
        return _version(registered)

    def promote(self, number: int, who: str, why: str, *, deployed: bool) -> None:
        """Make a version the champion and record the promotion; do nothing if both have been done.

        Args:
            number: Version number.
            who: User who promotes it.
            why: Reason for the promotion.
            deployed: Whether it runs on a host that this repository deploys to.
        """
        champion, name, promotions = self.champion(), str(self.version(number).number), self.history()
        with self._errors_for_people():
            if champion is None or champion.number != number:
                self._client.set_registered_model_alias(contract.NAME, CHAMPION, name)
            # The alias has no history, so promotions are recorded in tags.
            if not promotions or promotions[-1].number != number:
                promotion = {"number": number, "who": who, "why": why}
                last = json.dumps({**promotion, "deployed": deployed}, ensure_ascii=False)
                self._client.set_model_version_tag(contract.NAME, name, _PROMOTED, last)
                key = f"{_PROMOTED}.{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
                self._client.set_registered_model_tag(contract.NAME, key, json.dumps(promotion, ensure_ascii=False))

    def history(self) -> list[Promotion]:
        """Return all promotions, the oldest first."""
        model = self._if_known(lambda: self._client.get_registered_model(contract.NAME))
        promotions = [
            Promotion(datetime.fromisoformat(key.removeprefix(f"{_PROMOTED}.")), **json.loads(value))
            for key, value in (model.tags if model else {}).items()
            if key.startswith(f"{_PROMOTED}.")
        ]
        return sorted(promotions, key=lambda promotion: promotion.at)

    def add_document(self, run: str, commit: str, name: str, text: str) -> None:
        """Store a text with the artifacts of a run, for the version of a commit."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with tempfile.TemporaryDirectory() as folder, self._errors_for_people():
            file = Path(folder, name)
            file.write_text(text, encoding="utf-8")
            # Not with the client: it caches the artifact location of a run, even after the registry has been opened
            # again in another directory.
            artifacts = get_artifact_repository(self._artifacts(run), tracking_uri=self.uri)
            artifacts.log_artifact(str(file), _documents(commit))  # type: ignore[no-untyped-call]  # MLflow has no types here

    def document(self, version: Version, name: str) -> str:
        """Return a text that was stored with a version.

        Raises:
            UserError: If there is no such text.
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
        """Download the model folder of a version into a directory, and return its path.

        Raises:
            UserError: If it cannot be downloaded.
        """
        import mlflow

        self._fetch("")
        with self._errors_for_people():
            source = self._client.get_model_version(contract.NAME, str(version.number)).source
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{source}/artifacts/model", dst_path=str(folder), tracking_uri=self.uri
            )
        return Path(path)

    def _artifacts(self, run: str) -> str:
        """Return the address of a run's artifacts."""
        return str(self._client.get_run(run).info.artifact_uri)

    def _search(self, condition: str, limit: int) -> list[Version]:
        query = f"name = '{contract.NAME}'{condition}"
        with self._errors_for_people():
            versions = self._client.search_model_versions(query, max_results=limit, order_by=["version_number DESC"])
        return [_version(version) for version in versions]

    def _if_known(self, request: Callable[[], _T]) -> _T | None:
        """Return the result of a request; None if MLflow does not have the requested object."""
        from mlflow.exceptions import MlflowException

        with self._errors_for_people():
            try:
                return request()
            except MlflowException as error:
                # The first means that there is no such model or version, the second that the alias is not set.
                if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    return None
                raise

    @contextmanager
    def _errors_for_people(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            reason = first_line(error)
            raise UserError(f"the registry at {self.uri} failed: {reason}") from error


def _version(version: "ModelVersion") -> Version:
    created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return Version(int(version.version), str(version.run_id), version.tags, created)


def _documents(commit: str) -> str:
    """Return the path of a version's documents in the artifacts of its run, which several versions may share."""
    return f"versions/{commit}"
