"""All files for other engines, from one set of SLOs: what ``edgepath slo rules`` writes."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from alerts.burnrate import Policy
from alerts.rules import dashboard, grafana, prometheus
from alerts.slos.model import Catalog
from telemetry.errors import ConfigurationError

_HEAD: Final = "# Made by `edgepath slo rules` from the SLO files; change those, and make it again.\n"


def files(catalog: Catalog, policy: Policy, datasource_uid: str = "clickhouse") -> dict[str, str]:
    """Text by path: ``grafana/provisioning/alerting``, ``grafana/dashboards`` and, with SLIs in Prometheus, ``prometheus``."""
    made: dict[str, str] = {}
    if catalog.slos:
        for name, content in grafana.rule_files(catalog, policy, datasource_uid).items():
            made[f"grafana/provisioning/alerting/{name}"] = _yaml(content)
        board = dashboard.dashboard(catalog.slos)
        made[f"grafana/dashboards/{dashboard.UID}.json"] = json.dumps(board, indent=2, sort_keys=True) + "\n"
    if catalog.prometheus:
        made["prometheus/edgepath-slos.yaml"] = _yaml(prometheus.rule_file(catalog.prometheus, policy))
    return made


def write(made: dict[str, str], directory: Path) -> list[Path]:
    """Write them below ``directory``, which is made if need be; the files written.

    Raises:
        ConfigurationError: the directory cannot be written.
    """
    written = []
    try:
        for name, text in made.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write rules to {directory}: {error.strerror}; name another with --out"
        ) from error
    return written


def outdated(made: dict[str, str], directory: Path) -> list[str]:
    """What differs between ``made`` and the files below ``directory``: a line a file, empty if nothing does."""
    wrong = []
    for name, text in made.items():
        path = directory / name
        if not path.is_file():
            wrong.append(f"{path}: missing")
        elif path.read_text(encoding="utf-8") != text:
            wrong.append(f"{path}: not what the SLO files make")
    return wrong


def _yaml(content: dict[str, Any]) -> str:
    return _HEAD + yaml.safe_dump(content, sort_keys=False, width=1_000_000)
