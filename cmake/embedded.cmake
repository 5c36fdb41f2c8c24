# The files that live inside the library: tsr_embed(tessera_objects SYMBOL FILE), one line each.
