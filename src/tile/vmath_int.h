/* vmath_int.h: integers and bool. Text of vmath.h: see the contract there.
 *
 * Arithmetic wraps: it is done in an unsigned type of at least 32 bits, so that C's promotions cannot overflow either. Division by
 * zero and INT_MIN / -1 are defined by scalar.h; the divisor is replaced before the machine sees it. VM_INT_COMMON holds what
 * does not ask for the sign; S and U name the signed and unsigned type of the width, W the type arithmetic is done in. */

#define VM_INT_COMMON(T, type, U, W, bits)                                                                            \
    TSR_FN type vm_not_##T(type x) { return (type)~x; }                                                               \
    TSR_FN type vm_neg_##T(type x) { return (type)((W)0 - (W)x); }                                                    \
    TSR_FN type vm_popcnt_##T(type x) { return (type)TSR_POPCNT((vm_u64)(U)x); }                                      \
    TSR_FN type vm_clz_##T(type x) {                                                                                  \
        return (type)(x == 0 ? bits : (vm_i32)TSR_CLZ((vm_u64)(U)x | (vm_u64)(x == 0)) - (64 - bits));                \
    }                                                                                                                 \
    TSR_FN type vm_add_##T(type x, type y) { return (type)((W)x + (W)y); }                                            \
    TSR_FN type vm_sub_##T(type x, type y) { return (type)((W)x - (W)y); }                                            \
    TSR_FN type vm_mul_##T(type x, type y) { return (type)((W)x * (W)y); }                                            \
    TSR_FN type vm_max_##T(type x, type y) { return x > y ? x : y; }                                                  \
    TSR_FN type vm_min_##T(type x, type y) { return x < y ? x : y; }                                                  \
    TSR_FN type vm_clamp_##T(type lo, type x, type hi) { return vm_min_##T(vm_max_##T(x, lo), hi); }                  \
    TSR_FN type vm_and_##T(type x, type y) { return (type)(x & y); }                                                  \
    TSR_FN type vm_or_##T(type x, type y) { return (type)(x | y); }                                                   \
    TSR_FN type vm_xor_##T(type x, type y) { return (type)(x ^ y); }                                                  \
    TSR_FN type vm_shl_##T(type x, type y) {                                                                          \
        return (type)((U)y < bits ? (W)x << ((U)y & (bits - 1)) : (W)0);                                              \
    }                                                                                                                 \
    TSR_FN type vm_shr_logical_##T(type x, type y) { return (type)((U)y < bits ? (U)((U)x >> ((U)y & (bits - 1))) : (U)0); } \
    TSR_FN vm_bool vm_eq_##T(type x, type y) { return x == y; }                                                       \
    TSR_FN vm_bool vm_ne_##T(type x, type y) { return x != y; }                                                       \
    TSR_FN vm_bool vm_lt_##T(type x, type y) { return x < y; }                                                        \
    TSR_FN vm_bool vm_le_##T(type x, type y) { return x <= y; }                                                       \
    TSR_FN vm_bool vm_gt_##T(type x, type y) { return x > y; }                                                        \
    TSR_FN vm_bool vm_ge_##T(type x, type y) { return x >= y; }                                                       \
    TSR_FN type vm_select_##T(vm_bool p, type x, type y) { return p ? x : y; }                                        \
    TSR_FN type vm_power_##T(type x, U n) { /* x^n by squaring, wrapping */                                           \
        W r = 1, b = (W)x;                                                                                            \
        for (int i = 0; i < bits; i++) {                                                                              \
            r = (n >> i & 1) ? (W)(r * b) : r;                                                                        \
            b = (W)(b * b);                                                                                           \
        }                                                                                                             \
        return (type)r;                                                                                               \
    }

#define VM_INT_SIGNED(T, type, U, W, bits)                                                                            \
    VM_INT_COMMON(T, type, U, W, bits)                                                                                \
    TSR_FN type vm_abs_##T(type x) { return x < 0 ? vm_neg_##T(x) : x; }                                              \
    TSR_FN type vm_sign_##T(type x) { return (type)((x > 0) - (x < 0)); }                                             \
    TSR_FN type vm_div_##T(type x, type y) {                                                                          \
        type d = (type)(y == 0 || y == -1 ? 1 : y);                                                                   \
        return (type)(y == 0 ? -1 : y == -1 ? vm_neg_##T(x) : (type)(x / d));                                         \
    }                                                                                                                 \
    TSR_FN type vm_rem_##T(type x, type y) {                                                                          \
        type d = (type)(y == 0 || y == -1 ? 1 : y), r = (type)(x % d);                                                \
        return (type)(y == 0 ? x : r);                                                                                \
    }                                                                                                                 \
    TSR_FN type vm_shr_##T(type x, type y) { return (type)(x >> ((U)y < bits ? (U)y : bits - 1)); }                   \
    TSR_FN type vm_pow_##T(type x, type y) {                                                                          \
        type r = vm_power_##T(x, (U)y), one = (type)(y & 1 ? -1 : 1);                                                 \
        type negative = (type)(x == 1 ? 1 : x == -1 ? one : 0);                                                       \
        return y < 0 ? negative : r;                                                                                  \
    }

#define VM_INT_UNSIGNED(T, type, U, W, bits)                                                                          \
    VM_INT_COMMON(T, type, U, W, bits)                                                                                \
    TSR_FN type vm_div_##T(type x, type y) { return (type)(y == 0 ? (type)~(type)0 : (type)(x / (type)(y == 0 ? 1 : y))); } \
    TSR_FN type vm_rem_##T(type x, type y) { return (type)(y == 0 ? x : (type)(x % (type)(y == 0 ? 1 : y))); }        \
    TSR_FN type vm_shr_##T(type x, type y) { return vm_shr_logical_##T(x, y); }                                       \
    TSR_FN type vm_pow_##T(type x, type y) { return vm_power_##T(x, y); }

VM_INT_SIGNED(i8, vm_i8, vm_u8, vm_u32, 8)
VM_INT_SIGNED(i16, vm_i16, vm_u16, vm_u32, 16)
VM_INT_SIGNED(i32, vm_i32, vm_u32, vm_u32, 32)
VM_INT_SIGNED(i64, vm_i64, vm_u64, vm_u64, 64)
VM_INT_UNSIGNED(u8, vm_u8, vm_u8, vm_u32, 8)
VM_INT_UNSIGNED(u16, vm_u16, vm_u16, vm_u32, 16)
VM_INT_UNSIGNED(u32, vm_u32, vm_u32, vm_u32, 32)
VM_INT_UNSIGNED(u64, vm_u64, vm_u64, vm_u64, 64)

/* bool: one byte, 0 or 1; add is or, mul is and. */
TSR_FN vm_bool vm_not_bool(vm_bool x) { return (vm_bool)(x ^ 1u); }
TSR_FN vm_bool vm_and_bool(vm_bool x, vm_bool y) { return (vm_bool)(x & y); }
TSR_FN vm_bool vm_or_bool(vm_bool x, vm_bool y) { return (vm_bool)(x | y); }
TSR_FN vm_bool vm_xor_bool(vm_bool x, vm_bool y) { return (vm_bool)(x ^ y); }
TSR_FN vm_bool vm_add_bool(vm_bool x, vm_bool y) { return (vm_bool)(x | y); }
TSR_FN vm_bool vm_mul_bool(vm_bool x, vm_bool y) { return (vm_bool)(x & y); }
TSR_FN vm_bool vm_max_bool(vm_bool x, vm_bool y) { return (vm_bool)(x | y); }
TSR_FN vm_bool vm_min_bool(vm_bool x, vm_bool y) { return (vm_bool)(x & y); }
TSR_FN vm_bool vm_clamp_bool(vm_bool lo, vm_bool x, vm_bool hi) { return (vm_bool)((x | lo) & hi); }
TSR_FN vm_bool vm_select_bool(vm_bool p, vm_bool x, vm_bool y) { return p ? x : y; }
TSR_FN vm_bool vm_eq_bool(vm_bool x, vm_bool y) { return x == y; }
TSR_FN vm_bool vm_ne_bool(vm_bool x, vm_bool y) { return x != y; }
TSR_FN vm_bool vm_lt_bool(vm_bool x, vm_bool y) { return x < y; }
TSR_FN vm_bool vm_le_bool(vm_bool x, vm_bool y) { return x <= y; }
TSR_FN vm_bool vm_gt_bool(vm_bool x, vm_bool y) { return x > y; }
TSR_FN vm_bool vm_ge_bool(vm_bool x, vm_bool y) { return x >= y; }
