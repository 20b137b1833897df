"""Networks: what they are (`spec`), their weights (`checkpoint`, `weights`), their graphs.

Facts about a model are data in `spec`; `architectures` maps the name of an architecture to the
object that turns weights into a graph. Nothing is imported here, so that `houndsight.models.spec`
can be read without loading NumPy.
"""

__all__: list[str] = []
