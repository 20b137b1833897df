"""Indexing on a Ray cluster: its nodes read, decode and embed, and one of them or we write.

Ray Data divides the files into blocks, starts workers where there is room, and makes again what a
lost node had; nothing of that is done here. https://docs.ray.io/en/latest/data/data.html
"""

from houndsight.cluster.engine import BLOCK, IN_FLIGHT, RayCluster

__all__ = ["BLOCK", "IN_FLIGHT", "RayCluster"]
