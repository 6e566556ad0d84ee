// LLVM: compiler-rt/lib/fuzzer/FuzzerInterface.h has no declaration of it; it is libFuzzer's documented entry for programs with a main.
#pragma once
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));
