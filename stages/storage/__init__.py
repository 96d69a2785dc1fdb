"""What a run keeps on disk, safe from strangers' files and from a stop at any moment.

- ``safe_files`` reads and writes files in folders that a stranger may have filled.
- ``checkpoint`` saves results, so that a run that is killed goes on. ``checkpoint_encoding`` says
  how they are stored, and ``value_types`` checks what is read.
"""
