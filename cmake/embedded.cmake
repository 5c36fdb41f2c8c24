# The files that live inside the library: tsr_embed(tessera_objects SYMBOL FILE), one line each.
tsr_embed(tessera_objects data_digits_bin data/digits.bin)
foreach(part int f32 f64 mixed wide complex arc cast)
    tsr_embed(tessera_objects tsr_text_vmath_${part} src/tile/vmath_${part}.inc)
endforeach()
tsr_embed(tessera_objects tsr_text_prelude_c src/emit/prelude_c.inc)
tsr_embed(tessera_objects tsr_text_helpers_c src/emit/helpers_c.inc)
