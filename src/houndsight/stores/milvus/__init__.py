"""A store in Milvus: nothing here is loaded until a gallery is there."""
