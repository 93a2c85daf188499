"""The description of a server as a page that needs no internet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape

import perennial
from perennial.packaging.signature import Signature
from perennial.serving import examples
from perennial.serving.docs import ERRORS, OPENAPI, ROUTES, SCHEMAS
from perennial.serving.http import Response

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#f4f4f4;padding:1rem;"
    "overflow:auto}h2{border-top:1px solid #ddd;padding-top:1rem}summary{cursor:pointer}"
)


def page(signatures: Mapping[str, Signature]) -> Response:
    """Write the description as a page of HTML, styles inside, no scripts.

    Args:
        signatures: of the champions by the name of their pipeline, for the example bodies.
    """
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{escape(OPENAPI['info']['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(OPENAPI['info']['title'])} {perennial.__version__}</h1>",
        f"<p>{escape(OPENAPI['info']['description'])} The same as "
        "<a href=/openapi.json>openapi.json</a>.</p>",
    ]
    for path, method, summary, schema, body in ROUTES:
        parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(summary)}")
        if body is not None and "{version}" not in path:
            parts += [_example(path, name, body, s) for name, s in signatures.items()]
        for title, name in (("Request", body), ("Answer", schema)):
            if name is not None:
                parts.append(f"<details><summary>{title}: {name}</summary>{_shown(name)}</details>")
    parts.append("<h2>Errors</h2><dl>")
    parts += [f"<dt><code>{s}</code><dd>{escape(why)}" for s, why in ERRORS.items()]
    parts.append(f"</dl><h2>Error</h2>{_shown('Error')}<h2>Label</h2>{_shown('Label')}")
    parts += [f"<h2>{name}</h2>{_shown(name)}" for name in ("Prediction", "Tensor")]
    return Response(200, "".join(parts).encode(), "text/html; charset=utf-8")


def _example(path: str, model: str, body: str, signature: Signature) -> str:
    """How one model is asked."""
    sent = json.dumps(examples.BODIES[body](signature), indent=2, ensure_ascii=False)
    at = path.replace("{model}", model)
    return f"<p>For {escape(model)}:</p><pre>POST {escape(at)}\n\n{escape(sent)}</pre>"


def _shown(name: str) -> str:
    return f"<pre>{escape(json.dumps(SCHEMAS[name], indent=2))}</pre>"
