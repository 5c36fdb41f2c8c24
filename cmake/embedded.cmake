# The files that live inside the library: tsr_embed(tessera_objects SYMBOL FILE), one line each.
tsr_embed(tessera_objects data_digits_bin data/digits.bin)
