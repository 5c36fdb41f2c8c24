/* vmath_cast.h: vm_cast_FROM_TO(x), StableHLO's convert, for every pair of dtypes. Text of vmath.h: see the contract there.
 *
 * Floats to integers truncate and saturate, NaN gives 0; integers wrap; anything to bool is x != 0; complex to real takes the real
 * part; real to complex has imaginary part 0. i4 and u4 are held as i8 and u8 and wrap to 4 bits (floats saturate there first).
 * Floats narrow in one rounding: from f64 and from wide integers by way of an f32 rounded to odd, which keeps the knowledge that
 * digits were lost, so that the second rounding is right (Boldo and Melquiond 2008). */

/* f64 to f32, towards the neighbour whose last bit is 1 when not exact. */
TSR_FN vm_f32 vm_f64_to_odd_f32(vm_f64 d) {
    vm_f32 f = (vm_f32)d;
    vm_u32 u = TSR_F2U(f), step = vm_abs_f64(d) > (vm_f64)vm_abs_f32(f) ? 1u : 0xffffffffu;
    return TSR_U2F((vm_f64)f == d || d != d || (u & 1u) != 0u ? u : u + step);
}
/* A wide integer as an f64 of at most 53 bits whose last bit is set when digits were lost. */
TSR_FN vm_f64 vm_u64_to_sticky_f64(vm_u64 x) {
    vm_u64 kept = x >> 12, lost = (x & 0xfffu) != 0u;
    return x < 0x0010000000000000u ? (vm_f64)x : (vm_f64)(kept | lost) * 4096.0;
}
TSR_FN vm_f64 vm_i64_to_sticky_f64(vm_i64 x) {
    vm_f64 a = vm_u64_to_sticky_f64(x < 0 ? (vm_u64)0 - (vm_u64)x : (vm_u64)x);
    return x < 0 ? -a : a;
}

/* lo <= x < bound is exact in both formats; outside of it the result is the nearest integer there is. */
#define VM_FLOAT_TO_INT(real, name, type, lo, bound, low_value, high_value)                 \
    TSR_FN type vm_##real##_to_##name(vm_##real x) {                                        \
        vm_##real inside = x >= (vm_##real)(lo) && x < (vm_##real)(bound) ? x : (vm_##real)0; \
        type r = (type)inside;                                                              \
        r = x >= (vm_##real)(bound) ? (type)(high_value) : r;                               \
        return x < (vm_##real)(lo) ? (type)(low_value) : r;                                 \
    }
#define VM_FLOAT_TO_INTS(real)                                                                                        \
    VM_FLOAT_TO_INT(real, i64, vm_i64, -9223372036854775808.0, 9223372036854775808.0, (vm_i64)1 << 63, ~((vm_i64)1 << 63)) \
    VM_FLOAT_TO_INT(real, i32, vm_i32, -2147483648.0, 2147483648.0, -2147483647 - 1, 2147483647)                      \
    VM_FLOAT_TO_INT(real, i16, vm_i16, -32768.0, 32768.0, -32768, 32767)                                              \
    VM_FLOAT_TO_INT(real, i8, vm_i8, -128.0, 128.0, -128, 127)                                                        \
    VM_FLOAT_TO_INT(real, i4, vm_i8, -8.0, 8.0, -8, 7)                                                                \
    VM_FLOAT_TO_INT(real, u64, vm_u64, 0.0, 18446744073709551616.0, 0, ~(vm_u64)0)                                    \
    VM_FLOAT_TO_INT(real, u32, vm_u32, 0.0, 4294967296.0, 0, 4294967295u)                                             \
    VM_FLOAT_TO_INT(real, u16, vm_u16, 0.0, 65536.0, 0, 65535)                                                        \
    VM_FLOAT_TO_INT(real, u8, vm_u8, 0.0, 256.0, 0, 255)                                                              \
    VM_FLOAT_TO_INT(real, u4, vm_u8, 0.0, 16.0, 0, 15)
VM_FLOAT_TO_INTS(f32)
VM_FLOAT_TO_INTS(f64)

TSR_FN vm_i8 vm_wrap_i4(vm_i64 x) { return (vm_i8)((vm_i32)((x & 15) ^ 8) - 8); }

/* From an integer type: `odd` gives the f32 that narrows right. */
#define VM_CASTS_FROM_INT(F, type, odd)                                                         \
    TSR_FN vm_i64 vm_cast_##F##_i64(type x) { return (vm_i64)x; }                               \
    TSR_FN vm_i32 vm_cast_##F##_i32(type x) { return (vm_i32)x; }                               \
    TSR_FN vm_i16 vm_cast_##F##_i16(type x) { return (vm_i16)x; }                               \
    TSR_FN vm_i8 vm_cast_##F##_i8(type x) { return (vm_i8)x; }                                  \
    TSR_FN vm_i8 vm_cast_##F##_i4(type x) { return vm_wrap_i4((vm_i64)x); }                     \
    TSR_FN vm_u64 vm_cast_##F##_u64(type x) { return (vm_u64)x; }                               \
    TSR_FN vm_u32 vm_cast_##F##_u32(type x) { return (vm_u32)x; }                               \
    TSR_FN vm_u16 vm_cast_##F##_u16(type x) { return (vm_u16)x; }                               \
    TSR_FN vm_u8 vm_cast_##F##_u8(type x) { return (vm_u8)x; }                                  \
    TSR_FN vm_u8 vm_cast_##F##_u4(type x) { return (vm_u8)(x & 15); }                           \
    TSR_FN vm_bool vm_cast_##F##_bool(type x) { return x != 0; }                                \
    TSR_FN vm_f64 vm_cast_##F##_f64(type x) { return (vm_f64)x; }                               \
    TSR_FN vm_f32 vm_cast_##F##_f32(type x) { return (vm_f32)x; }                               \
    TSR_FN vm_u16 vm_cast_##F##_f16(type x) { return vm_f32_to_f16(odd); }                      \
    TSR_FN vm_u16 vm_cast_##F##_bf16(type x) { return vm_f32_to_bf16(odd); }                    \
    TSR_FN vm_u8 vm_cast_##F##_f8e4m3(type x) { return vm_f32_to_f8e4m3(odd); }                 \
    TSR_FN vm_u8 vm_cast_##F##_f8e5m2(type x) { return vm_f32_to_f8e5m2(odd); }                 \
    TSR_FN vm_c64 vm_cast_##F##_c64(type x) { return vm_complex_f32((vm_f32)x, 0.0f); }         \
    TSR_FN vm_c128 vm_cast_##F##_c128(type x) { return vm_complex_f64((vm_f64)x, 0.0); }
VM_CASTS_FROM_INT(i64, vm_i64, vm_f64_to_odd_f32(vm_i64_to_sticky_f64(x)))
VM_CASTS_FROM_INT(i32, vm_i32, vm_f64_to_odd_f32((vm_f64)x))
VM_CASTS_FROM_INT(i16, vm_i16, (vm_f32)x)
VM_CASTS_FROM_INT(i8, vm_i8, (vm_f32)x)
VM_CASTS_FROM_INT(i4, vm_i8, (vm_f32)x)
VM_CASTS_FROM_INT(u64, vm_u64, vm_f64_to_odd_f32(vm_u64_to_sticky_f64(x)))
VM_CASTS_FROM_INT(u32, vm_u32, vm_f64_to_odd_f32((vm_f64)x))
VM_CASTS_FROM_INT(u16, vm_u16, (vm_f32)x)
VM_CASTS_FROM_INT(u8, vm_u8, (vm_f32)x)
VM_CASTS_FROM_INT(u4, vm_u8, (vm_f32)x)
VM_CASTS_FROM_INT(bool, vm_bool, (vm_f32)x)

/* From a float or complex type: v is x as a vm_`real`, `odd` the f32 that narrows right, z the truth of x != 0, im the imaginary part. */
#define VM_CASTS_FROM_FLOAT(F, type, real, v, odd, z, imag)                                     \
    TSR_FN vm_i64 vm_cast_##F##_i64(type x) { return vm_##real##_to_i64(v); }                   \
    TSR_FN vm_i32 vm_cast_##F##_i32(type x) { return vm_##real##_to_i32(v); }                   \
    TSR_FN vm_i16 vm_cast_##F##_i16(type x) { return vm_##real##_to_i16(v); }                   \
    TSR_FN vm_i8 vm_cast_##F##_i8(type x) { return vm_##real##_to_i8(v); }                      \
    TSR_FN vm_i8 vm_cast_##F##_i4(type x) { return vm_##real##_to_i4(v); }                      \
    TSR_FN vm_u64 vm_cast_##F##_u64(type x) { return vm_##real##_to_u64(v); }                   \
    TSR_FN vm_u32 vm_cast_##F##_u32(type x) { return vm_##real##_to_u32(v); }                   \
    TSR_FN vm_u16 vm_cast_##F##_u16(type x) { return vm_##real##_to_u16(v); }                   \
    TSR_FN vm_u8 vm_cast_##F##_u8(type x) { return vm_##real##_to_u8(v); }                      \
    TSR_FN vm_u8 vm_cast_##F##_u4(type x) { return vm_##real##_to_u4(v); }                      \
    TSR_FN vm_bool vm_cast_##F##_bool(type x) { return z; }                                     \
    TSR_FN vm_f64 vm_cast_##F##_f64(type x) { return (vm_f64)v; }                               \
    TSR_FN vm_f32 vm_cast_##F##_f32(type x) { return (vm_f32)v; }                               \
    TSR_FN vm_u16 vm_cast_##F##_f16(type x) { return vm_f32_to_f16(odd); }                      \
    TSR_FN vm_u16 vm_cast_##F##_bf16(type x) { return vm_f32_to_bf16(odd); }                    \
    TSR_FN vm_u8 vm_cast_##F##_f8e4m3(type x) { return vm_f32_to_f8e4m3(odd); }                 \
    TSR_FN vm_u8 vm_cast_##F##_f8e5m2(type x) { return vm_f32_to_f8e5m2(odd); }                 \
    TSR_FN vm_c64 vm_cast_##F##_c64(type x) { return vm_complex_f32((vm_f32)v, (vm_f32)imag); } \
    TSR_FN vm_c128 vm_cast_##F##_c128(type x) { return vm_complex_f64((vm_f64)v, (vm_f64)imag); }
#define VM_CASTS_FROM_SMALL(F, type) \
    VM_CASTS_FROM_FLOAT(F, type, f32, vm_##F##_to_f32(x), vm_##F##_to_f32(x), vm_##F##_to_f32(x) != 0.0f, 0)
VM_CASTS_FROM_FLOAT(f64, vm_f64, f64, x, vm_f64_to_odd_f32(x), x != 0.0, 0)
VM_CASTS_FROM_FLOAT(f32, vm_f32, f32, x, x, x != 0.0f, 0)
VM_CASTS_FROM_SMALL(f16, vm_u16)
VM_CASTS_FROM_SMALL(bf16, vm_u16)
VM_CASTS_FROM_SMALL(f8e4m3, vm_u8)
VM_CASTS_FROM_SMALL(f8e5m2, vm_u8)
VM_CASTS_FROM_FLOAT(c64, vm_c64, f32, x.re, x.re, x.re != 0.0f || x.im != 0.0f, x.im)
VM_CASTS_FROM_FLOAT(c128, vm_c128, f64, x.re, vm_f64_to_odd_f32(x.re), x.re != 0.0 || x.im != 0.0, x.im)
