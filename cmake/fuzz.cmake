# Fuzz targets: each tests/fuzz/fuzz_*.c is one libFuzzer program, build/<folder>/fuzz/fuzz_*. The whole library is
# compiled again with the fuzzer's instrumentation (except the SIMD loops, which would no longer be vectorized), so
# configure a build folder of its own:
#     CC=clang cmake -G Ninja -B build/fuzz -DTSR_FUZZ=ON -DTSR_TESTS=OFF && ninja -C build/fuzz fuzzers
if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "TSR_FUZZ needs clang: configure with CC=clang in a new build folder")
endif()
set(fuzz_flags -g -O1 -fno-sanitize-recover=all -fno-omit-frame-pointer)
set(instrument -fsanitize=fuzzer-no-link,address,undefined)
target_compile_options(tessera_objects PRIVATE ${fuzz_flags} ${instrument})
target_link_options(tessera PUBLIC $<BUILD_INTERFACE:-fsanitize=address,undefined>)
target_link_options(tessera_shared PRIVATE -fsanitize=address,undefined)

file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
add_custom_target(fuzzers)
foreach(source ${fuzz_sources})
    get_filename_component(stem ${source} NAME_WE)
    add_executable(${stem} ${source})
    set_target_properties(${stem} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
    target_include_directories(${stem} PRIVATE include src tests)
    target_compile_options(${stem} PRIVATE ${fuzz_flags} -fsanitize=fuzzer,address,undefined)
    target_link_options(${stem} PRIVATE -fsanitize=fuzzer,address,undefined)
    target_link_libraries(${stem} PRIVATE tsr_flags tsr_math_flags tessera)
    add_dependencies(fuzzers ${stem})
endforeach()
