# What `make install` puts under the prefix: headers, both libraries, the program, tessera.pc and the CMake package
# (find_package(tessera) gives tessera::tessera, the static library, and tessera::tessera_shared).
include(CMakePackageConfigHelpers)
set(TSR_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/tessera)

install(DIRECTORY include/tessera DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
install(TARGETS tessera tessera_shared EXPORT tessera)
install(EXPORT tessera NAMESPACE tessera:: DESTINATION ${TSR_CMAKE_DIR} FILE tessera-targets.cmake)
configure_package_config_file(cmake/tessera-config.cmake.in ${CMAKE_BINARY_DIR}/tessera-config.cmake
    INSTALL_DESTINATION ${TSR_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/tessera-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/tessera-config.cmake ${CMAKE_BINARY_DIR}/tessera-config-version.cmake
    DESTINATION ${TSR_CMAKE_DIR})

set(TSR_PC_PRIVATE "-lm -pthread")
if(TSR_HAVE_ZLIB)
    set(TSR_PC_PRIVATE "-lz ${TSR_PC_PRIVATE}")
endif()
# The .pc file finds its prefix from where it lies, so an installed tree can be moved.
file(RELATIVE_PATH TSR_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/tessera.pc.in ${CMAKE_BINARY_DIR}/tessera.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tessera.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
