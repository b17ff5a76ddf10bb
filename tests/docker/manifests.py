"""Our Kubernetes objects, by kind, and the versions that they are for."""

from __future__ import annotations

from typing import Any

import yaml

from tests.support.processes import ROOT

VERSIONS = ("1.30", "1.37")
TEXT = (ROOT / "docker" / "kubernetes" / "glimpse.yml").read_text(encoding="utf-8")
OBJECTS: dict[str, dict[str, Any]] = {found["kind"]: found for found in yaml.safe_load_all(TEXT)}
