#!/usr/bin/env bash
export NO_ALBUMENTATIONS_UPDATE=1 TF_CPP_MIN_LOG_LEVEL=2; root="$(cd "$(dirname "$0")" && pwd)"
exec "$root/.venv/bin/python" -m lensfold run predict --root "$root" "$@"
