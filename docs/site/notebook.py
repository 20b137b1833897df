"""Notebooks without Jupyter: run one, keep what it shows, and read it as a document.

    python docs/site/notebook.py docs/from-matlab.ipynb     run it, and write what it shows into it

A notebook is JSON (nbformat 4): cells, each with its source and, of code, what it showed.
"""

import ast
import base64
import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["document", "loaded", "run"]

Notebook = dict[str, Any]


def loaded(text: str) -> Notebook:
    """Return a notebook from its JSON."""
    notebook: Notebook = json.loads(text)
    if notebook["nbformat"] != 4:
        raise ValueError("not nbformat 4")
    return notebook


def run(notebook: Notebook) -> list[list[dict[str, Any]]]:
    """Run the cells in order, in the working folder; return what each cell of code shows.

    As Jupyter does: what is printed, then the last expression, as a picture where it is one.
    """
    scope: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(tree, f"cell {number}", "exec"), scope)  # noqa: S102 -- our own text
                value = last and eval(  # noqa: S307
                    compile(ast.Expression(last.value), f"cell {number}", "eval"), scope
                )
            shown.append(_outputs(said.getvalue(), value))
    return shown


def _outputs(said: str, value: Any) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = []
    if said:
        lines = said.splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
    if value is not None:
        data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_png_"):
            png = base64.b64encode(value._repr_png_()).decode()
            data = {"image/png": png, "text/plain": ["a picture"]}
        outputs.append({"data": data, "metadata": {}, "output_type": "display_data"})
    return outputs


def document(notebook: Notebook) -> str:
    """Return a notebook as Markdown: text, code, and what it showed."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts.append(f"```python\n{source}\n```")
            parts += [_shown(output) for output in cell["outputs"]]
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![What the cell shows](data:image/png;base64,{data['image/png']})"
    return f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```"


def main() -> None:
    """Run a notebook in an empty folder, and write what it shows into it."""
    path = Path(sys.argv[1]).resolve()
    notebook = loaded(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        shown = iter(run(notebook))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = next(shown)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
