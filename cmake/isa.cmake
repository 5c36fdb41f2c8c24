# Kernels that are compiled once for each instruction set level and chosen at start (enum cpu_isa in src/base/sys.h).
#
# A source named *.isa.c sees TSR_ISA_SUFFIX (generic, avx2 or avx512, an identifier to paste onto its names) and
# TSR_ISA_LEVEL (0, 1, 2). The levels are the psABI's x86-64-v2, -v3 and -v4; other processors have the one level
# `generic`.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(TSR_ISA_LEVELS generic avx2 avx512)
    set(TSR_ISA_FLAGS_generic -march=x86-64-v2)
    set(TSR_ISA_FLAGS_avx2 -march=x86-64-v3)
    set(TSR_ISA_FLAGS_avx512 -march=x86-64-v4 -mprefer-vector-width=512)
else()
    set(TSR_ISA_LEVELS generic)
endif()

# Compiles `sources` for each level and returns the objects; `owner` learns how many levels there are (TSR_ISA_LEVELS).
function(tsr_add_isa_objects owner sources out)
    list(LENGTH TSR_ISA_LEVELS levels)
    target_compile_definitions(${owner} PRIVATE TSR_ISA_LEVELS=${levels})
    set(objects)
    set(level 0)
    if(sources)
        foreach(isa ${TSR_ISA_LEVELS})
            add_library(tessera_isa_${isa} OBJECT ${sources})
            target_include_directories(tessera_isa_${isa} PRIVATE include src)
            target_link_libraries(tessera_isa_${isa} PRIVATE tsr_flags tsr_math_flags)
            # clang: -Wpass-failed is how it says that a loop it was asked to vectorize stays a loop. gcc: AddressSanitizer
            # puts 64-byte vectors at 32-byte places in the frames it keeps to catch uses after return (gcc bug 110027).
            target_compile_options(tessera_isa_${isa} PRIVATE ${TSR_ISA_FLAGS_${isa}} -O3
                $<$<C_COMPILER_ID:Clang>:-Wno-pass-failed>
                $<$<AND:$<CONFIG:Asan>,$<C_COMPILER_ID:GNU>>:--param=asan-use-after-return=0>)
            target_compile_definitions(tessera_isa_${isa} PRIVATE TSR_ISA_SUFFIX=${isa} TSR_ISA_LEVEL=${level}
                TSR_ISA_LEVELS=${levels})
            list(APPEND objects $<TARGET_OBJECTS:tessera_isa_${isa}>)
            math(EXPR level "${level} + 1")
        endforeach()
    endif()
    # A link is eight independent copies of a function in one basic block: gcc's first scheduling pass weaves them.
    set_source_files_properties(src/tile/vm_chain.isa.c PROPERTIES COMPILE_OPTIONS
        "$<$<C_COMPILER_ID:GNU>:-fschedule-insns;-fsched-pressure>")
    set(${out} "${objects}" PARENT_SCOPE)
endfunction()
