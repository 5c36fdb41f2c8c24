# Each tests/<room>/test_*.c is one program, build/<preset>/tests/<room>/test_*, registered with ctest under label
# <room>. tests.list (name, command, arguments, with tabs between) is what tools/run_tests.sh reads. Programs run with the source
# folder as working directory.
add_library(tsr_harness STATIC tests/harness.c tests/suite.c tests/foreign.c)
target_include_directories(tsr_harness PUBLIC include src tests)
target_link_libraries(tsr_harness PUBLIC tsr_flags tsr_math_flags tessera)
tsr_use_dependencies(tsr_harness)

set(test_list "")
function(tsr_add_test name label command)
    add_test(NAME ${name} COMMAND ${command} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 300)
    string(REPLACE ";" "\t" line "${command}")
    set(test_list "${test_list}${name}\t${line}\n" PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE test_sources CONFIGURE_DEPENDS tests/*/test_*.c)
foreach(source ${test_sources})
    file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR}/tests ${source})
    get_filename_component(room ${path} DIRECTORY)
    get_filename_component(stem ${path} NAME_WE)
    string(REPLACE "/" "_" target "${room}_${stem}")
    add_executable(${target} ${source})
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${stem} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${room})
    target_link_libraries(${target} PRIVATE tsr_harness)
    tsr_add_test(${room}/${stem} ${room} ${CMAKE_BINARY_DIR}/tests/${room}/${stem})
endforeach()

# The look-alike of a GPU's driver and compiler that tests/device/test_cuda.c loads.
add_library(fake_gpu MODULE tests/device/fake_gpu.c)
target_link_libraries(fake_gpu PRIVATE tsr_flags ${CMAKE_DL_LIBS})
target_compile_options(fake_gpu PRIVATE -fvisibility=hidden)
target_compile_definitions(device_test_cuda PRIVATE FAKE_GPU="$<TARGET_FILE:fake_gpu>")
target_include_directories(device_test_cuda PRIVATE tests/device)
add_dependencies(device_test_cuda fake_gpu)

# The look-alike of an OpenCL loader that tests/device/test_opencl.c loads.
add_library(fake_cl MODULE tests/device/fake_cl.c)
target_include_directories(fake_cl PRIVATE include src tests/device)
target_link_libraries(fake_cl PRIVATE tsr_flags)
target_compile_definitions(device_test_opencl PRIVATE FAKE_CL="$<TARGET_FILE:fake_cl>")
add_dependencies(device_test_opencl fake_cl)

# Scripts that test the whole: each tests/*/test_*.sh gets the build folder as its argument and ends with the harness's
# last line.
if(NOT CMAKE_BUILD_TYPE STREQUAL "Asan")
    file(GLOB test_scripts CONFIGURE_DEPENDS tests/*/test_*.sh)
    foreach(source ${test_scripts})
        file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR}/tests ${source})
        get_filename_component(room ${path} DIRECTORY)
        get_filename_component(stem ${path} NAME_WE)
        tsr_add_test(${room}/${stem} ${room} "sh;${source};${CMAKE_BINARY_DIR}")
    endforeach()
endif()
file(WRITE ${CMAKE_BINARY_DIR}/tests.list "${test_list}")
