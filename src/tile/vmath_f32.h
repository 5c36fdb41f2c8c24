/* vmath_f32.h: f32 functions that need no f64 (but one product for huge angles), and the conversions of f16, bf16 and f8. Text of vmath.h: see the contract there.
 *
 * exp and its relatives: x = n ln2 + r with |r| <= ln2/2, a polynomial in r, times 2^n in two exact steps so that results
 * below the normal range round once. log: x = 2^e m with m in [sqrt(1/2), sqrt 2), a polynomial in m - 1. sin and cos: x = n pi/2 + r,
 * with pi/2 in four pieces whose products with n are exact while |x| < VM_TRIG_SMALL_F32, and for greater |x| by fixed-point
 * multiplication with the right 96 bits of 2/pi (Payne and Hanek 1983). Adding and taking away 1.5 * 2^23 rounds to an integer and
 * leaves that integer in the low bits of the sum. */

#define VM_MAGIC_F32 12582912.0f /* 1.5 * 2^23 */
#define VM_INF_F32 TSR_U2F(0x7f800000u)
#define VM_NAN_F32 TSR_U2F(0x7fc00000u)
#define VM_TRIG_SMALL_F32 8192.0f

TSR_FN vm_f32 vm_abs_f32(vm_f32 x) { return TSR_U2F(TSR_F2U(x) & 0x7fffffffu); }
TSR_FN vm_f32 vm_neg_f32(vm_f32 x) { return -x; }
/* |magnitude| of any sign bit, with the sign of s. */
TSR_FN vm_f32 vm_copysign_f32(vm_f32 magnitude, vm_f32 s) {
    return TSR_U2F((TSR_F2U(magnitude) & 0x7fffffffu) | (TSR_F2U(s) & 0x80000000u));
}
TSR_FN vm_f32 vm_sign_f32(vm_f32 x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x; }
TSR_FN vm_f32 vm_ceil_f32(vm_f32 x) { return TSR_CEILF(x); }
TSR_FN vm_f32 vm_floor_f32(vm_f32 x) { return TSR_FLOORF(x); }
TSR_FN vm_f32 vm_round_even_f32(vm_f32 x) { return TSR_RINTF(x); }
TSR_FN vm_f32 vm_round_f32(vm_f32 x) {
    vm_f32 a = vm_abs_f32(x), t = TSR_TRUNCF(a);
    return vm_copysign_f32(t + (a - t >= 0.5f ? 1.0f : 0.0f), x);
}
TSR_FN vm_bool vm_is_finite_f32(vm_f32 x) { return (TSR_F2U(x) & 0x7fffffffu) < 0x7f800000u; }
TSR_FN vm_f32 vm_real_f32(vm_f32 x) { return x; }
TSR_FN vm_f32 vm_imag_f32(vm_f32 x) {
    (void)x;
    return 0.0f;
}
TSR_FN vm_f32 vm_add_f32(vm_f32 x, vm_f32 y) { return x + y; }
TSR_FN vm_f32 vm_sub_f32(vm_f32 x, vm_f32 y) { return x - y; }
TSR_FN vm_f32 vm_mul_f32(vm_f32 x, vm_f32 y) { return x * y; }
TSR_FN vm_f32 vm_div_f32(vm_f32 x, vm_f32 y) { return x / y; }
/* NaN wins; equal values differ at most in the sign of zero, which the bit operation settles. */
TSR_FN vm_f32 vm_max_f32(vm_f32 x, vm_f32 y) {
    vm_f32 equal = TSR_U2F(TSR_F2U(x) & TSR_F2U(y)), r = x > y ? x : x < y ? y : equal;
    r = y != y ? y : r;
    return x != x ? x : r;
}
TSR_FN vm_f32 vm_min_f32(vm_f32 x, vm_f32 y) {
    vm_f32 equal = TSR_U2F(TSR_F2U(x) | TSR_F2U(y)), r = x < y ? x : x > y ? y : equal;
    r = y != y ? y : r;
    return x != x ? x : r;
}
TSR_FN vm_f32 vm_clamp_f32(vm_f32 lo, vm_f32 x, vm_f32 hi) { return vm_min_f32(vm_max_f32(x, lo), hi); }
TSR_FN vm_f32 vm_fma_f32(vm_f32 x, vm_f32 y, vm_f32 z) { return TSR_FUSEDF(x, y, z); }
TSR_FN vm_f32 vm_select_f32(vm_bool p, vm_f32 x, vm_f32 y) { return p ? x : y; }
TSR_FN vm_bool vm_eq_f32(vm_f32 x, vm_f32 y) { return x == y; }
TSR_FN vm_bool vm_ne_f32(vm_f32 x, vm_f32 y) { return x != y; }
TSR_FN vm_bool vm_lt_f32(vm_f32 x, vm_f32 y) { return x < y; }
TSR_FN vm_bool vm_le_f32(vm_f32 x, vm_f32 y) { return x <= y; }
TSR_FN vm_bool vm_gt_f32(vm_f32 x, vm_f32 y) { return x > y; }
TSR_FN vm_bool vm_ge_f32(vm_f32 x, vm_f32 y) { return x >= y; }

/* The bits of a positive number order like the numbers; one step is one unit, away from or towards zero. */
TSR_FN vm_f32 vm_nextafter_f32(vm_f32 x, vm_f32 y) {
    vm_u32 u = TSR_F2U(x), away = (y > x) == (x > 0.0f) ? 1u : 0xffffffffu;
    vm_f32 r = x == 0.0f ? TSR_U2F((TSR_F2U(y) & 0x80000000u) | 1u) : TSR_U2F(u + away);
    r = x == y ? y : r;
    return x != x || y != y ? x + y : r;
}

/* y 2^n for -252 <= n <= 254, n in two's complement; rounds once. */
TSR_FN vm_f32 vm_scale_f32(vm_f32 y, vm_u32 n) {
    vm_u32 half = (vm_u32)((vm_i32)n >> 1);
    return y * TSR_U2F((half + 127u) << 23) * TSR_U2F((n - half + 127u) << 23);
}

/* Long division of the significands, 40 bits of the quotient in a turn; exact. */
TSR_FN vm_f32 vm_rem_f32(vm_f32 x, vm_f32 y) {
    vm_u32 ux = TSR_F2U(x) & 0x7fffffffu, uy = TSR_F2U(y) & 0x7fffffffu, ex = ux >> 23, ey = uy >> 23, d, k;
    vm_u64 r = (ux & 0x7fffffu) | (ex ? 0x800000u : 0u), m = (uy & 0x7fffffu) | (ey ? 0x800000u : 0u);
    if (ux >= 0x7f800000u || uy > 0x7f800000u || uy == 0) return VM_NAN_F32;
    if (ux < uy) return x;
    ex = ex ? ex : 1u, ey = ey ? ey : 1u;
    r = r % m;
    for (d = ex - ey; d > 0; d -= k) {
        k = d < 40u ? d : 40u;
        r = (r << k) % m;
    }
    return vm_copysign_f32(vm_scale_f32((vm_f32)r, ey - 150u), x);
}

/* ---- exp ----------------------------------------------------------------------------------------------------------- */

/* x = n ln2 + r for |x| < 2^13; returns e^r - 1 and n. */
TSR_FN vm_f32 vm_exp_reduced_f32(vm_f32 x, vm_u32 *n) {
    vm_f32 t = TSR_FMAF(x, 1.44269504f, VM_MAGIC_F32), k = t - VM_MAGIC_F32;
    vm_f32 high = TSR_FMAF(k, -0.693115234375f, x), low = k * -3.19461848e-05f, r = high + low, q;
    q = TSR_FMAF(1.381448e-03f, r, 8.36878e-03f);
    q = TSR_FMAF(q, r, 4.1668393e-02f);
    q = TSR_FMAF(q, r, 1.666652e-01f);
    q = TSR_FMAF(q, r, 4.9999994e-01f);
    *n = TSR_F2U(t) - TSR_F2U(VM_MAGIC_F32);
    return high + TSR_FMAF(r * r, q, low); /* high is exact: one rounding less than r + ... */
}

TSR_FN vm_f32 vm_exp_f32(vm_f32 x) {
    vm_f32 c = x > 89.0f ? 89.0f : x;
    vm_u32 n;
    c = c < -104.0f ? -104.0f : c;
    vm_f32 y = vm_exp_reduced_f32(c, &n);
    return vm_scale_f32(1.0f + y, n);
}

/* e^x for |x| < 87: no result leaves the normal range. */
TSR_FN vm_f32 vm_exp_mid_f32(vm_f32 x) {
    vm_u32 n;
    vm_f32 y = vm_exp_reduced_f32(x, &n);
    return (1.0f + y) * TSR_U2F((n + 127u) << 23);
}

TSR_FN vm_f32 vm_exp2_f32(vm_f32 x) {
    vm_f32 c = x > 129.0f ? 129.0f : x, t, r, p;
    c = c < -151.0f ? -151.0f : c;
    t = c + VM_MAGIC_F32;
    r = c - (t - VM_MAGIC_F32);
    p = TSR_FMAF(1.5353168e-04f, r, 1.3399004e-03f);
    p = TSR_FMAF(p, r, 9.618439e-03f);
    p = TSR_FMAF(p, r, 5.550332e-02f);
    p = TSR_FMAF(p, r, 2.4022648e-01f);
    p = TSR_FMAF(p, r, 6.931472e-01f);
    return vm_scale_f32(TSR_FMAF(p, r, 1.0f), TSR_F2U(t) - TSR_F2U(VM_MAGIC_F32));
}

/* 1 / (1 + e^-x), from t = e^-|x| so that nothing overflows and small results keep their digits. What t and 1 + t lose in rounding is
 * put back by the derivative: d(top / d) = (d top - q dd) / d, where 1 / d is q or 1 - q. */
TSR_FN vm_f32 vm_logistic_f32(vm_f32 x) {
    vm_u32 n;
    vm_f32 c = -vm_abs_f32(x), y = vm_exp_reduced_f32(c < -104.0f ? -104.0f : c, &n), p = 1.0f + y;
    vm_f32 t = vm_scale_f32(p, n), t_lo = vm_scale_f32(y - (p - 1.0f), n), d = 1.0f + t, d_lo = t - (d - 1.0f) + t_lo;
    vm_f32 top = x < 0.0f ? t : 1.0f, top_lo = x < 0.0f ? t_lo : 0.0f, q = top / d, inverse = x < 0.0f ? 1.0f - q : q;
    return TSR_FMAF(top_lo - q * d_lo, inverse, q);
}

/* |x| < 0.625: odd polynomial; else 1 - 2 / (e^2|x| + 1). */
TSR_FN vm_f32 vm_tanh_f32(vm_f32 x) {
    vm_f32 a = vm_abs_f32(x), z = a * a, c = a > 10.0f ? 10.0f : a, p;
    vm_f32 big = 1.0f - 2.0f / (vm_exp_mid_f32(c + c) + 1.0f);
    p = TSR_FMAF(-5.7664583e-03f, z, 2.0700974e-02f);
    p = TSR_FMAF(p, z, -5.3761646e-02f);
    p = TSR_FMAF(p, z, 1.3331759e-01f);
    p = TSR_FMAF(p, z, -3.33333e-01f);
    p = TSR_FMAF(p * z, a, a);
    return vm_copysign_f32(a < 0.625f ? p : big, x);
}

/* |x| < 1: odd polynomial; else 1 - e^p(|x|) with p a polynomial for ln erfc, good to |x| = 4 where erf rounds to 1. */
TSR_FN vm_f32 vm_erf_f32(vm_f32 x) {
    vm_f32 a = vm_abs_f32(x), z = a * a, v = (a > 4.0f ? 4.0f : a) - 2.0f, p, q;
    p = TSR_FMAF(7.85385e-05f, z, -8.0102024e-04f);
    p = TSR_FMAF(p, z, 5.1883305e-03f);
    p = TSR_FMAF(p, z, -2.6853815e-02f);
    p = TSR_FMAF(p, z, 1.12835854e-01f);
    p = TSR_FMAF(p, z, -3.7612626e-01f);
    p = TSR_FMAF(p, z, 1.2837917e-01f);
    p = TSR_FMAF(p, a, a);
    q = TSR_FMAF(1.5024242e-06f, v, -1.9477531e-05f);
    q = TSR_FMAF(q, v, 1.3549606e-04f);
    q = TSR_FMAF(q, v, -7.3429046e-04f);
    q = TSR_FMAF(q, v, 3.5708658e-03f);
    q = TSR_FMAF(q, v, -1.6463948e-02f);
    q = TSR_FMAF(q, v, -9.237508e-01f);
    q = TSR_FMAF(q, v, -4.418161e+00f);
    q = TSR_FMAF(q, v, -5.364941e+00f);
    q = 1.0f - vm_exp_mid_f32(q);
    return vm_copysign_f32(a < 1.0f ? p : q, x);
}

/* ---- log ----------------------------------------------------------------------------------------------------------- */

/* x = 2^e (1 + f) for positive x, subnormals included. */
TSR_FN vm_f32 vm_log_reduced_f32(vm_f32 x, vm_f32 *e) {
    vm_f32 s = x < 1.17549435e-38f ? x * 8388608.0f : x, less = x < 1.17549435e-38f ? 23.0f : 0.0f;
    vm_u32 u = TSR_F2U(s) - 0x3f3504f3u; /* the bits of sqrt(1/2) */
    *e = (vm_f32)((vm_i32)u >> 23) - less;
    return TSR_U2F((u & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
}

/* log at 0, below 0, at infinity and NaN, for every base. */
TSR_FN vm_f32 vm_log_edges_f32(vm_f32 x, vm_f32 r) {
    r = x < VM_INF_F32 ? r : x;
    r = x == 0.0f ? -VM_INF_F32 : r;
    return x < 0.0f ? VM_NAN_F32 : r;
}

TSR_FN vm_f32 vm_log_f32(vm_f32 x) {
    vm_f32 e, f = vm_log_reduced_f32(x, &e), q;
    q = TSR_FMAF(-7.823457e-02f, f, 1.3004857e-01f);
    q = TSR_FMAF(q, f, -1.3208768e-01f);
    q = TSR_FMAF(q, f, 1.4163463e-01f);
    q = TSR_FMAF(q, f, -1.6611154e-01f);
    q = TSR_FMAF(q, f, 2.0003016e-01f);
    q = TSR_FMAF(q, f, -2.5001523e-01f);
    q = TSR_FMAF(q, f, 3.3333308e-01f);
    q = TSR_FMAF(q, f, -4.9999988e-01f);
    q = TSR_FMAF(q, f * f, e * 3.19461848e-05f);
    return vm_log_edges_f32(x, TSR_FMAF(e, 0.693115234375f, f + q));
}

TSR_FN vm_f32 vm_log2_f32(vm_f32 x) {
    vm_f32 e, f = vm_log_reduced_f32(x, &e), p;
    p = TSR_FMAF(-1.1296962e-01f, f, 1.8782403e-01f);
    p = TSR_FMAF(p, f, -1.9061343e-01f);
    p = TSR_FMAF(p, f, 2.042965e-01f);
    p = TSR_FMAF(p, f, -2.3963656e-01f);
    p = TSR_FMAF(p, f, 2.8858525e-01f);
    p = TSR_FMAF(p, f, -3.6069643e-01f);
    p = TSR_FMAF(p, f, 4.808979e-01f);
    p = TSR_FMAF(p, f, -7.2134733e-01f);
    p = TSR_FMAF(p, f, 1.442695e+00f);
    return vm_log_edges_f32(x, TSR_FMAF(p, f, e));
}

/* ---- roots --------------------------------------------------------------------------------------------------------- */

TSR_FN vm_f32 vm_sqrt_f32(vm_f32 x) { return TSR_SQRTF(x); }
TSR_FN vm_f32 vm_rsqrt_f32(vm_f32 x) { return 1.0f / TSR_SQRTF(x); }

/* ---- sin, cos ------------------------------------------------------------------------------------------------------ */

/* 2/pi: 64 zero bits, then its binary digits. */
TSR_TABLE vm_u32 vm_two_over_pi[44] = {
    0, 0, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu,
    0xdebbc561u, 0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu, 0xfe1deb1cu, 0xb129a73eu, 0xe88235f5u, 0x2ebb4484u,
    0xe99c7026u, 0xb45f7e41u, 0x3991d639u, 0x835339f4u, 0x9c845f8bu, 0xbdf9283bu, 0x1ff897ffu, 0xde05980fu, 0xef2f118bu,
    0x5a0a6d1fu, 0x6d367ecfu, 0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du, 0x7527bac7u, 0xebe5f17bu, 0x3d0739f7u, 0x8a5292eau,
    0x6bfb5fb1u, 0x1f8d5d08u, 0x56033046u, 0xfc7b6babu, 0xf0cfbc20u, 0x9af4361du, 0xa9e39161u, 0x5ee61b08u,
};
/* The 32 bits at bit position `at` of the table. */
TSR_FN vm_u32 vm_two_over_pi_bits(vm_u32 at) {
    vm_u32 k = at >> 5;
    vm_u64 pair = (vm_u64)vm_two_over_pi[k] << 32 | vm_two_over_pi[k + 1];
    return (vm_u32)((pair << (at & 31u)) >> 32);
}

/* |x| = q pi/2 + r, |r| <= pi/4 and a little; q modulo 4 counts. For |x| < VM_TRIG_SMALL_F32; gives NaN for infinity and NaN. */
TSR_FN vm_f32 vm_trig_small_f32(vm_f32 a, vm_u32 *q) {
    vm_f32 t = TSR_FMAF(a, 0.636619772f, VM_MAGIC_F32), n = t - VM_MAGIC_F32, r;
    r = TSR_FMAF(n, -1.5703125f, a);
    r = TSR_FMAF(n, -0.0004837512969970703f, r);
    *q = TSR_F2U(t) - TSR_F2U(VM_MAGIC_F32);
    return r - TSR_FMAF(n, 2.56334429e-12f, n * 7.549533620476723e-08f); /* r was exact: one rounding */
}

/* The same for VM_TRIG_SMALL_F32 <= |x| < infinity: x = m 2^E with m of 24 bits. Bits of 2/pi that make multiples of 4 are skipped;
 * of the next 96, times m, the top 2 bits are q and the rest is the fraction of pi/2. */
TSR_FN vm_f64 vm_trig_large_wide_f32(vm_f32 a, vm_u32 *q) {
    vm_u32 u = TSR_F2U(a), e = u >> 23, m = (u & 0x7fffffu) | 0x800000u;
    vm_u32 at = e < 140u ? 52u : e > 254u ? 166u : e - 88u; /* E + 62, E = e - 150; held where the table is */
    vm_u64 p = ((vm_u64)(m * vm_two_over_pi_bits(at)) << 32) + (vm_u64)m * vm_two_over_pi_bits(at + 32u) +
               (((vm_u64)m * vm_two_over_pi_bits(at + 64u)) >> 32);
    vm_u64 n = (p + 0x2000000000000000u) >> 62;
    *q = (vm_u32)n;
    return (vm_f64)(vm_i64)(p - (n << 62)) * 3.4061215800865545e-19; /* pi/2 * 2^-62 */
}
TSR_FN vm_f32 vm_trig_large_f32(vm_f32 a, vm_u32 *q) { return (vm_f32)vm_trig_large_wide_f32(a, q); }

/* sin(r + q pi/2), times -1 when the top bit of `sign` is set. */
TSR_FN vm_f32 vm_sin_quadrant_f32(vm_f32 r, vm_u32 q, vm_u32 sign) {
    vm_f32 z = r * r, s, c;
    s = TSR_FMAF(2.7183635e-06f, z, -1.9839343e-04f);
    s = TSR_FMAF(s, z, 8.333329e-03f);
    s = TSR_FMAF(s, z, -1.6666667e-01f);
    s = TSR_FMAF(s * z, r, r);
    c = TSR_FMAF(2.4469004e-05f, z, -1.3887676e-03f);
    c = TSR_FMAF(c, z, 4.1666653e-02f);
    c = TSR_FMAF(c, z, -0.5f);
    c = TSR_FMAF(c, z, 1.0f);
    return TSR_U2F(TSR_F2U(q & 1u ? c : s) ^ ((q & 2u) << 30) ^ (sign & 0x80000000u));
}

TSR_FN vm_f32 vm_sin_small_f32(vm_f32 x) {
    vm_u32 q;
    vm_f32 r = vm_trig_small_f32(vm_abs_f32(x), &q);
    return vm_sin_quadrant_f32(r, q, TSR_F2U(x));
}
TSR_FN vm_f32 vm_cos_small_f32(vm_f32 x) {
    vm_u32 q;
    vm_f32 r = vm_trig_small_f32(vm_abs_f32(x), &q);
    return vm_sin_quadrant_f32(r, q + 1u, 0u);
}
/* The whole domain; a loop that knows all its |x| < VM_TRIG_SMALL_F32 may call the small one for the same bits. */
TSR_FN vm_f32 vm_sin_f32(vm_f32 x) {
    vm_u32 q, q_small;
    vm_f32 a = vm_abs_f32(x), r = vm_trig_large_f32(a, &q), r_small = vm_trig_small_f32(a, &q_small);
    vm_f32 y = a < VM_TRIG_SMALL_F32 ? vm_sin_quadrant_f32(r_small, q_small, TSR_F2U(x)) : vm_sin_quadrant_f32(r, q, TSR_F2U(x));
    return a < VM_INF_F32 ? y : VM_NAN_F32;
}
TSR_FN vm_f32 vm_cos_f32(vm_f32 x) {
    vm_u32 q, q_small;
    vm_f32 a = vm_abs_f32(x), r = vm_trig_large_f32(a, &q), r_small = vm_trig_small_f32(a, &q_small);
    vm_f32 y = a < VM_TRIG_SMALL_F32 ? vm_sin_quadrant_f32(r_small, q_small + 1u, 0u) : vm_sin_quadrant_f32(r, q + 1u, 0u);
    return a < VM_INF_F32 ? y : VM_NAN_F32;
}

/* ---- small floats -------------------------------------------------------------------------------------------------- */

/* f16: the f32 with the same fields is 2^112 too small, which one product repairs exactly, subnormals too; infinity and NaN
 * (exponent 31) only need their exponent set. */
TSR_FN vm_f32 vm_f16_to_f32(vm_u16 h) {
    vm_u32 u = (vm_u32)(h & 0x7fffu) << 13;
    vm_u32 finite = TSR_F2U(TSR_U2F(u) * 5.192296858534828e33f); /* 2^112 */
    vm_u32 r = u >= 0x0f800000u ? u | 0x7f800000u : finite;
    return TSR_U2F(r | (vm_u32)(h & 0x8000u) << 16);
}

/* Normal results: round the dropped bits to even in integer arithmetic, the carry runs into the exponent. Subnormal results: adding
 * 0.5 aligns the units of f16 with the last bit of the sum, the machine rounds. */
TSR_FN vm_u16 vm_f32_to_f16(vm_f32 f) {
    vm_u32 u = TSR_F2U(f), a = u & 0x7fffffffu;
    vm_u32 normal = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
    vm_u32 tiny = TSR_F2U(TSR_U2F(a) + 0.5f) - 0x3f000000u;
    vm_u32 nan = 0x7e00u | ((a >> 13) & 0x3ffu);
    vm_u32 r = a < 0x38800000u ? tiny : normal;
    r = a >= 0x477ff000u ? 0x7c00u : r;
    r = a > 0x7f800000u ? nan : r;
    return (vm_u16)(r | ((u >> 16) & 0x8000u));
}

TSR_FN vm_f32 vm_bf16_to_f32(vm_u16 h) { return TSR_U2F((vm_u32)h << 16); }
TSR_FN vm_u16 vm_f32_to_bf16(vm_f32 f) {
    vm_u32 u = TSR_F2U(f), r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (vm_u16)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : r);
}

/* f8e5m2 is the upper byte of f16. Narrowing goes straight from f32, with the two cases of f16. */
TSR_FN vm_f32 vm_f8e5m2_to_f32(vm_u8 b) { return vm_f16_to_f32((vm_u16)((vm_u32)b << 8)); }
TSR_FN vm_u8 vm_f32_to_f8e5m2(vm_f32 f) {
    vm_u32 u = TSR_F2U(f), a = u & 0x7fffffffu;
    vm_u32 normal = (a - 0x38000000u + 0xfffffu + ((a >> 21) & 1u)) >> 21;
    vm_u32 tiny = TSR_F2U(TSR_U2F(a) + 128.0f) - 0x43000000u; /* one unit of 128 is 2^-16, the least f8e5m2 */
    vm_u32 r = a < 0x38800000u ? tiny : normal;
    r = a >= 0x47700000u ? 0x7cu : r;
    r = a > 0x7f800000u ? 0x7eu | ((a >> 21) & 3u) : r;
    return (vm_u8)(r | ((u >> 24) & 0x80u));
}

TSR_FN vm_f32 vm_f8e4m3_to_f32(vm_u8 b) {
    vm_u32 u = (vm_u32)(b & 0x7fu) << 20;
    vm_u32 finite = TSR_F2U(TSR_U2F(u) * 1.3292279957849159e36f); /* 2^120 */
    vm_u32 r = u == 0x07f00000u ? 0x7ff00000u : finite;
    return TSR_U2F(r | (vm_u32)(b & 0x80u) << 24);
}
TSR_FN vm_u8 vm_f32_to_f8e4m3(vm_f32 f) {
    vm_u32 u = TSR_F2U(f), a = u & 0x7fffffffu;
    vm_u32 normal = (a - 0x3c000000u + 0x7ffffu + ((a >> 20) & 1u)) >> 20;
    vm_u32 tiny = TSR_F2U(TSR_U2F(a) + 16384.0f) - 0x46800000u; /* one unit of 16384 is 2^-9, the least f8e4m3 */
    vm_u32 r = a < 0x3c800000u ? tiny : normal;
    r = a > 0x43e80000u ? 0x7fu : r; /* above 464, halfway between 448 and what 480 would be */
    return (vm_u8)(r | ((u >> 24) & 0x80u));
}

/* One step on the grid of a small float (see vm_nextafter_f32); e4m3fn steps from its greatest value to NaN. */
#define VM_SMALL_NEXTAFTER(T, type, sign_bit, nan)                                                            \
    TSR_FN type vm_nextafter_##T(type x, type y) {                                                            \
        vm_f32 a = vm_##T##_to_f32(x), b = vm_##T##_to_f32(y);                                                \
        vm_u32 step = (b > a) == (a > 0.0f) ? 1u : 0xffffffffu;                                               \
        vm_u32 r = a == 0.0f ? ((vm_u32)y & sign_bit) | 1u : (vm_u32)x + step;                                \
        r = a == b ? (vm_u32)y : r;                                                                           \
        return (type)(a != a || b != b ? nan : r);                                                            \
    }
VM_SMALL_NEXTAFTER(f16, vm_u16, 0x8000u, 0x7e00u)
VM_SMALL_NEXTAFTER(bf16, vm_u16, 0x8000u, 0x7fc0u)
VM_SMALL_NEXTAFTER(f8e4m3, vm_u8, 0x80u, 0x7fu)
VM_SMALL_NEXTAFTER(f8e5m2, vm_u8, 0x80u, 0x7eu)
