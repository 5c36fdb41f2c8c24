# tsr_embed(TARGET SYMBOL FILE): put the bytes of FILE into TARGET as
#     const char SYMBOL[];        the bytes and a NUL behind them
#     const size_t SYMBOL_size;   without the NUL
# The C file is written at build time by running this same script in script mode, and again whenever FILE changes.
if(CMAKE_SCRIPT_MODE_FILE)
    file(READ ${INPUT} hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(....,....,....,....,....,....,....,....,....,....,....,....,....,....,....,....,)" "\\1\n"
        bytes "${bytes}")
    get_filename_component(name ${INPUT} NAME)
    file(WRITE ${OUTPUT} "/* ${name} as bytes; written by cmake/embed.cmake */\n#include <stddef.h>\n"
        "extern const char ${SYMBOL}[];\nextern const size_t ${SYMBOL}_size;\n"
        "const char ${SYMBOL}[] = {\n${bytes}0};\nconst size_t ${SYMBOL}_size = sizeof ${SYMBOL} - 1;\n")
    return()
endif()

set(TSR_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(tsr_embed target symbol file)
    get_filename_component(input ${file} ABSOLUTE)
    set(output ${CMAKE_BINARY_DIR}/embed/${symbol}.c)
    add_custom_command(OUTPUT ${output}
        COMMAND ${CMAKE_COMMAND} -DINPUT=${input} -DOUTPUT=${output} -DSYMBOL=${symbol} -P ${TSR_EMBED_SCRIPT}
        DEPENDS ${input} ${TSR_EMBED_SCRIPT} COMMENT "Embedding ${file} as ${symbol}")
    target_sources(${target} PRIVATE ${output})
endfunction()
