# Optional libraries, each found or reported missing with what that costs. docs/dependencies.md has the reasons.
#
# The program's dynamic dependencies stay libc and libm, so a kept library is linked from its static archive where
# there is one.
find_package(Threads REQUIRED)
find_package(PkgConfig QUIET)
find_library(TSR_LIBM m)

set(TSR_HAVE_ZLIB OFF)
if(PKG_CONFIG_FOUND)
    pkg_check_modules(ZLIB QUIET zlib)
endif()
if(ZLIB_FOUND)
    find_library(TSR_ZLIB NAMES libz.a z HINTS ${ZLIB_LIBRARY_DIRS})
    if(TSR_ZLIB)
        set(TSR_HAVE_ZLIB ON)
    endif()
endif()
if(TSR_HAVE_ZLIB)
    message(STATUS "zlib ${ZLIB_VERSION}: ${TSR_ZLIB} (.gz files can be read)")
else()
    message(STATUS "zlib: not found, so .gz files cannot be read; install zlib1g-dev (Debian) or zlib-devel (Fedora) to have it")
endif()

# Compile-time side: headers and TSR_HAVE_* definitions.
function(tsr_use_dependencies target)
    if(TSR_HAVE_ZLIB)
        target_include_directories(${target} SYSTEM PRIVATE ${ZLIB_INCLUDE_DIRS})
        target_compile_definitions(${target} PRIVATE TSR_HAVE_ZLIB=1)
    endif()
endfunction()

# Link-time side: what a program that links the library needs as well.
function(tsr_link_dependencies target)
    if(TSR_HAVE_ZLIB)
        target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:${TSR_ZLIB}>)
        if(target STREQUAL "tessera")
            target_link_libraries(${target} INTERFACE $<INSTALL_INTERFACE:z>)
        endif()
    endif()
    target_link_libraries(${target} PUBLIC Threads::Threads)
    if(TSR_LIBM)
        target_link_libraries(${target} PUBLIC m)
    endif()
endfunction()
