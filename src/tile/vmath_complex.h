/* vmath_complex.h: c64 and c128 as pairs (re, im). Text of vmath.h: see the contract there.
 *
 * c128 is computed from the real functions; intermediate results are scaled by powers of two where they could leave the range
 * while the result does not, and differences that cancel (ln |z| near 1) are taken in two parts. c64 does neg, add, sub, mul and comparisons in
 * f32 and everything else through c128, rounding each part once. Products are by the textbook formula; division is Smith's (1962)
 * with the recovery of infinities of C99 Annex G; sqrt and tanh follow Kahan (1987). */

typedef struct vm_c64 {
    vm_f32 re, im;
} vm_c64;
typedef struct vm_c128 {
    vm_f64 re, im;
} vm_c128;

#define VM_COMPLEX_COMMON(C, R, type, real)                                                                           \
    TSR_FN type vm_complex_##R(real re, real im) {                                                                    \
        type z;                                                                                                       \
        z.re = re, z.im = im;                                                                                         \
        return z;                                                                                                     \
    }                                                                                                                 \
    TSR_FN real vm_real_##C(type z) { return z.re; }                                                                  \
    TSR_FN real vm_imag_##C(type z) { return z.im; }                                                                  \
    TSR_FN type vm_neg_##C(type z) { return vm_complex_##R(-z.re, -z.im); }                                           \
    TSR_FN type vm_add_##C(type a, type b) { return vm_complex_##R(a.re + b.re, a.im + b.im); }                       \
    TSR_FN type vm_sub_##C(type a, type b) { return vm_complex_##R(a.re - b.re, a.im - b.im); }                       \
    TSR_FN type vm_mul_##C(type a, type b) {                                                                          \
        return vm_complex_##R(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);                                  \
    }                                                                                                                 \
    TSR_FN vm_bool vm_eq_##C(type a, type b) { return a.re == b.re && a.im == b.im; }                                 \
    TSR_FN vm_bool vm_ne_##C(type a, type b) { return a.re != b.re || a.im != b.im; }                                 \
    TSR_FN type vm_select_##C(vm_bool p, type a, type b) {                                                            \
        return vm_complex_##R(p ? a.re : b.re, p ? a.im : b.im);                                                      \
    }                                                                                                                 \
    /* a before b in the order (re, im); a NaN part counts as greatest and least */                                   \
    TSR_FN type vm_max_##C(type a, type b) {                                                                          \
        vm_bool greater = a.re > b.re || (a.re == b.re && a.im > b.im), nan = a.re != a.re || a.im != a.im;           \
        return vm_select_##C(nan || (greater && b.re == b.re && b.im == b.im), a, b);                                 \
    }                                                                                                                 \
    TSR_FN type vm_min_##C(type a, type b) {                                                                          \
        vm_bool less = a.re < b.re || (a.re == b.re && a.im < b.im), nan = a.re != a.re || a.im != a.im;              \
        return vm_select_##C(nan || (less && b.re == b.re && b.im == b.im), a, b);                                    \
    }
VM_COMPLEX_COMMON(c64, f32, vm_c64, vm_f32)
VM_COMPLEX_COMMON(c128, f64, vm_c128, vm_f64)

/* A power of two that brings a magnitude into [2^-500, 2^500]; 1 for most. */
TSR_FN vm_f64 vm_safe_scale(vm_f64 m) {
    vm_f64 up = m < 3.0549363634996047e-151 ? 4.149515568880993e180 : 1.0; /* 2^-500, 2^600 */
    return m > 3.2733906078961419e150 ? 2.4099198651028841e-181 : up;     /* 2^500, 2^-600 */
}
/* sqrt(x^2 + y^2) for magnitudes in [2^-500, 2^500] or far smaller partners, with the error of the sum put back. */
TSR_FN vm_f64 vm_hypot_mid(vm_f64 x, vm_f64 y) {
    vm_f64 x_lo, y_lo, lo, x2 = vm_two_prod(x, x, &x_lo), y2 = vm_two_prod(y, y, &y_lo), s = vm_two_sum(x2, y2, &lo), r = TSR_SQRT(s);
    return s > 0.0 ? r + 0.5 * (lo + x_lo + y_lo) / r : r;
}
TSR_FN vm_f64 vm_abs_c128(vm_c128 z) {
    vm_f64 x = vm_abs_f64(z.re), y = vm_abs_f64(z.im), scale = vm_safe_scale(x > y ? x : y);
    vm_f64 r = vm_hypot_mid(x * scale, y * scale) / scale;
    return x == VM_INF_F64 || y == VM_INF_F64 ? VM_INF_F64 : r;
}
TSR_FN vm_c128 vm_sign_c128(vm_c128 z) {
    vm_f64 x = vm_abs_f64(z.re), y = vm_abs_f64(z.im), scale = vm_safe_scale(x > y ? x : y), r;
    if (z.re == 0.0 && z.im == 0.0) return z;
    r = vm_hypot_mid(x * scale, y * scale);
    return vm_complex_f64(z.re * scale / r, z.im * scale / r);
}

TSR_FN vm_c128 vm_div_edges(vm_c128 a, vm_c128 b, vm_c128 q) {
    vm_bool a_infinite = vm_abs_f64(a.re) == VM_INF_F64 || vm_abs_f64(a.im) == VM_INF_F64;
    vm_bool b_infinite = vm_abs_f64(b.re) == VM_INF_F64 || vm_abs_f64(b.im) == VM_INF_F64;
    vm_bool a_finite = vm_is_finite_f64(a.re) && vm_is_finite_f64(a.im), b_finite = vm_is_finite_f64(b.re) && vm_is_finite_f64(b.im);
    if (b.re == 0.0 && b.im == 0.0 && (a.re == a.re || a.im == a.im)) {
        vm_f64 inf = vm_copysign_f64(VM_INF_F64, b.re);
        return vm_complex_f64(inf * a.re, inf * a.im);
    }
    if (a_infinite && b_finite) {
        vm_f64 x = vm_copysign_f64(vm_abs_f64(a.re) == VM_INF_F64 ? 1.0 : 0.0, a.re);
        vm_f64 y = vm_copysign_f64(vm_abs_f64(a.im) == VM_INF_F64 ? 1.0 : 0.0, a.im);
        return vm_complex_f64(VM_INF_F64 * (x * b.re + y * b.im), VM_INF_F64 * (y * b.re - x * b.im));
    }
    if (b_infinite && a_finite) {
        vm_f64 x = vm_copysign_f64(vm_abs_f64(b.re) == VM_INF_F64 ? 1.0 : 0.0, b.re);
        vm_f64 y = vm_copysign_f64(vm_abs_f64(b.im) == VM_INF_F64 ? 1.0 : 0.0, b.im);
        return vm_complex_f64(0.0 * (a.re * x + a.im * y), 0.0 * (a.im * x - a.re * y));
    }
    return q;
}
TSR_FN vm_c128 vm_div_c128(vm_c128 a, vm_c128 b) {
    vm_f64 x = vm_abs_f64(b.re), y = vm_abs_f64(b.im), t = vm_abs_f64(a.re) > vm_abs_f64(a.im) ? vm_abs_f64(a.re) : vm_abs_f64(a.im);
    vm_f64 sa = vm_safe_scale(t), sb = vm_safe_scale(x > y ? x : y), r, d, ar = a.re * sa, ai = a.im * sa, br = b.re * sb, bi = b.im * sb;
    vm_c128 q;
    if (x >= y) {
        r = bi / br, d = TSR_FMA(bi, r, br);
        q = vm_complex_f64(TSR_FMA(ai, r, ar) / d, TSR_FMA(-ar, r, ai) / d);
    } else {
        r = br / bi, d = TSR_FMA(br, r, bi);
        q = vm_complex_f64(TSR_FMA(ar, r, ai) / d, TSR_FMA(ai, r, -ar) / d);
    }
    q = vm_complex_f64(q.re * sb / sa, q.im * sb / sa);
    return q.re != q.re && q.im != q.im ? vm_div_edges(a, b, q) : q;
}

/* ---- exp and log --------------------------------------------------------------------------------------------------- */

/* e^x times (c, s), where e^x alone may leave the range. */
TSR_FN vm_c128 vm_exp_times(vm_f64 x, vm_f64 c, vm_f64 s) {
    vm_i32 k = x > 600.0 ? -100 : x < -600.0 ? 100 : 0;
    vm_f64 e = vm_exp_scaled_f64(x, 0.0, k), back = TSR_U2D((vm_u64)(1023 - k) << 52);
    return vm_complex_f64(e * c * back, e * s * back);
}
TSR_FN vm_c128 vm_exp_c128(vm_c128 z) {
    vm_bool lost = z.re == -VM_INF_F64 && !vm_is_finite_f64(z.im);
    vm_c128 r = vm_exp_times(z.re, vm_cos_f64(z.im), vm_sin_f64(z.im));
    r.re = lost ? 0.0 : z.re == VM_INF_F64 && !vm_is_finite_f64(z.im) ? VM_INF_F64 : r.re;
    r.re = z.im == 0.0 ? vm_exp_f64(z.re) : r.re;
    r.im = lost ? 0.0 : z.im == 0.0 ? z.im : r.im;
    return r;
}
/* (e^x - 1) cos y - 2 sin^2(y/2), e^x sin y */
TSR_FN vm_c128 vm_expm1_c128(vm_c128 z) {
    vm_f64 half = vm_sin_f64(0.5 * z.im);
    vm_c128 r = vm_exp_c128(z);
    r.re = z.re < 700.0 && vm_is_finite_f64(z.im) ? vm_expm1_f64(z.re) * vm_cos_f64(z.im) - 2.0 * half * half : r.re;
    return r;
}
/* ln |z| */
TSR_FN vm_f64 vm_log_abs_c128(vm_c128 z) {
    vm_f64 x = vm_abs_f64(z.re), y = vm_abs_f64(z.im), m = x > y ? x : y, n = x > y ? y : x, scale = vm_safe_scale(m);
    vm_f64 m_lo, n_lo, lo, m2 = vm_two_prod(m, m, &m_lo), n2 = vm_two_prod(n, n, &n_lo), w = vm_two_sum(m2 - 1.0, n2, &lo);
    vm_f64 far = vm_log_f64(vm_hypot_mid(m * scale, n * scale)) - vm_log_f64(scale), r;
    r = m > 0.5 && m < 1.5 && n < 1.5 ? 0.5 * vm_log1p_f64(w + (lo + m_lo + n_lo)) : far;
    return x == VM_INF_F64 || y == VM_INF_F64 ? VM_INF_F64 : x != x || y != y ? VM_NAN_F64 : r;
}
TSR_FN vm_c128 vm_log_c128(vm_c128 z) { return vm_complex_f64(vm_log_abs_c128(z), vm_atan2_f64(z.im, z.re)); }
/* |1 + z|^2 - 1 = 2x + x^2 + y^2, in two parts while it may cancel. */
TSR_FN vm_c128 vm_log1p_c128(vm_c128 z) {
    vm_f64 x = z.re, y = z.im, x_lo, y_lo, l1, l2, x2 = vm_two_prod(x, x, &x_lo), y2 = vm_two_prod(y, y, &y_lo), w;
    vm_bool near = vm_abs_f64(x) < 4.0 && vm_abs_f64(y) < 4.0;
    w = vm_two_sum(x + x, y2, &l1);
    w = vm_two_sum(w, x2, &l2);
    w = w + (l1 + l2 + (x_lo + y_lo));
    return vm_complex_f64(near ? 0.5 * vm_log1p_f64(w) : vm_log_abs_c128(vm_complex_f64(1.0 + x, y)), vm_atan2_f64(y, 1.0 + x));
}

/* ---- roots and powers ---------------------------------------------------------------------------------------------- */

TSR_FN vm_c128 vm_sqrt_c128(vm_c128 z) {
    vm_f64 x = vm_abs_f64(z.re), y = vm_abs_f64(z.im), scale = vm_safe_scale(x > y ? x : y);
    vm_f64 back = scale > 1.0 ? 4.9090934652977266e-91 : scale < 1.0 ? 2.0370359763344861e90 : 1.0; /* 2^-300, 2^300 */
    vm_f64 t = TSR_SQRT(0.5 * (x * scale + vm_hypot_mid(x * scale, y * scale))), u = t > 0.0 ? 0.5 * (y * scale) / t : 0.0;
    t = t * back, u = u * back;
    if (y == VM_INF_F64) return vm_complex_f64(VM_INF_F64, z.im);
    if (x == VM_INF_F64) t = VM_INF_F64, u = y != y ? y : 0.0;
    return z.re < 0.0 ? vm_complex_f64(u, vm_copysign_f64(t, z.im)) : vm_complex_f64(t, vm_copysign_f64(u, z.im));
}
TSR_FN vm_c128 vm_rsqrt_c128(vm_c128 z) { return vm_div_c128(vm_complex_f64(1.0, 0.0), vm_sqrt_c128(z)); }
/* e^(w ln z); 0^0 = 1 and 0^w = 0 for Re w > 0; real operands with a real result take the real function. */
TSR_FN vm_c128 vm_pow_c128(vm_c128 z, vm_c128 w) {
    if (w.re == 0.0 && w.im == 0.0) return vm_complex_f64(1.0, 0.0);
    if (z.re == 0.0 && z.im == 0.0 && w.re > 0.0) return vm_complex_f64(0.0, 0.0);
    if (z.im == 0.0 && w.im == 0.0 && z.re >= 0.0) return vm_complex_f64(vm_pow_f64(z.re, w.re), 0.0);
    return vm_exp_c128(vm_mul_c128(w, vm_log_c128(z)));
}

/* ---- circular and hyperbolic --------------------------------------------------------------------------------------- */

/* (a cosh y, b sinh y), each product in range where its result is. */
TSR_FN vm_c128 vm_cosh_sinh_times(vm_f64 y, vm_f64 a, vm_f64 b) {
    vm_f64 m = vm_abs_f64(y), s = vm_copysign_f64(1.0, y);
    vm_c128 far = vm_exp_times(m, 0.5 * a, 0.5 * b * s);
    vm_f64 im = m > 40.0 ? far.im : b * vm_sinh_f64(y);
    return vm_complex_f64(m > 40.0 ? far.re : a * vm_cosh_f64(y), y == 0.0 ? (b == b ? b * y : y) : im);
}
TSR_FN vm_c128 vm_sin_c128(vm_c128 z) { return vm_cosh_sinh_times(z.im, vm_sin_f64(z.re), vm_cos_f64(z.re)); }
TSR_FN vm_c128 vm_cos_c128(vm_c128 z) { return vm_cosh_sinh_times(z.im, vm_cos_f64(z.re), -vm_sin_f64(z.re)); }
TSR_FN vm_c128 vm_tanh_c128(vm_c128 z) {
    vm_f64 x = vm_abs_f64(z.re), c = x > 22.0 ? 22.0 : x, t = vm_tan_f64(z.im), b = TSR_FMA(t, t, 1.0), s = vm_sinh_f64(c);
    vm_f64 r = TSR_SQRT(TSR_FMA(s, s, 1.0)), d = TSR_FMA(b * s, s, 1.0), re = b * r * s / d, im = t / d;
    if (z.im == 0.0) return vm_complex_f64(vm_tanh_f64(z.re), z.im);
    if (x > 22.0) { /* 4 sin y cos y e^-2x, which is 0 where y has no sine */
        re = 1.0;
        im = vm_is_finite_f64(z.im) ? 4.0 * vm_sin_f64(z.im) * vm_cos_f64(z.im) * vm_exp_f64(-2.0 * x) : x == VM_INF_F64 ? 0.0 : VM_NAN_F64;
    }
    return vm_complex_f64(vm_copysign_f64(re, z.re), im);
}
TSR_FN vm_c128 vm_tan_c128(vm_c128 z) { /* -i tanh(iz) */
    vm_c128 t = vm_tanh_c128(vm_complex_f64(z.im, z.re));
    return vm_complex_f64(t.im, t.re);
}
TSR_FN vm_c128 vm_logistic_c128(vm_c128 z) {
    vm_bool left = z.re < 0.0;
    vm_c128 e = vm_exp_c128(left ? z : vm_neg_c128(z)), one = vm_complex_f64(1.0, 0.0);
    return vm_div_c128(left ? e : one, vm_complex_f64(1.0 + e.re, e.im));
}

/* ---- c64 through c128 ---------------------------------------------------------------------------------------------- */

TSR_FN vm_c128 vm_widen_c64(vm_c64 z) { return vm_complex_f64((vm_f64)z.re, (vm_f64)z.im); }
TSR_FN vm_c64 vm_narrow_c128(vm_c128 z) { return vm_complex_f32((vm_f32)z.re, (vm_f32)z.im); }
TSR_FN vm_f32 vm_abs_c64(vm_c64 z) { return (vm_f32)vm_abs_c128(vm_widen_c64(z)); }
#define VM_THROUGH_C128(name) \
    TSR_FN vm_c64 vm_##name##_c64(vm_c64 z) { return vm_narrow_c128(vm_##name##_c128(vm_widen_c64(z))); }
VM_THROUGH_C128(sign)
VM_THROUGH_C128(exp)
VM_THROUGH_C128(expm1)
VM_THROUGH_C128(log)
VM_THROUGH_C128(log1p)
VM_THROUGH_C128(sqrt)
VM_THROUGH_C128(rsqrt)
VM_THROUGH_C128(sin)
VM_THROUGH_C128(cos)
VM_THROUGH_C128(tan)
VM_THROUGH_C128(tanh)
VM_THROUGH_C128(logistic)
TSR_FN vm_c64 vm_div_c64(vm_c64 a, vm_c64 b) { return vm_narrow_c128(vm_div_c128(vm_widen_c64(a), vm_widen_c64(b))); }
TSR_FN vm_c64 vm_pow_c64(vm_c64 a, vm_c64 b) { return vm_narrow_c128(vm_pow_c128(vm_widen_c64(a), vm_widen_c64(b))); }
