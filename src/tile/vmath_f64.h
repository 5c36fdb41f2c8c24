/* vmath_f64.h: the f64 functions. Text of vmath.h: see the contract there. The plan is that of vmath_f32.h with longer
 * polynomials; where a result needs more than 53 bits on the way (pow, the reduction of sin, e^(-x^2)) numbers are unevaluated
 * sums hi + lo made by error-free sums and products (Dekker 1971; with fma where there is one). */

#define VM_MAGIC_F64 6755399441055744.0 /* 1.5 * 2^52 */
#define VM_INF_F64 TSR_U2D(0x7ff0000000000000u)
#define VM_NAN_F64 TSR_U2D(0x7ff8000000000000u)
#define VM_SIGN_F64 0x8000000000000000u
#define VM_LN2_HI_F64 0.693147180559663 /* 41 bits: products with exponents are exact */
#define VM_LN2_LO_F64 2.8235290563031577e-13
#define VM_TRIG_SMALL_F64 500000.0

TSR_FN vm_f64 vm_abs_f64(vm_f64 x) { return TSR_U2D(TSR_D2U(x) & ~VM_SIGN_F64); }
TSR_FN vm_f64 vm_neg_f64(vm_f64 x) { return -x; }
TSR_FN vm_f64 vm_copysign_f64(vm_f64 magnitude, vm_f64 s) {
    return TSR_U2D((TSR_D2U(magnitude) & ~VM_SIGN_F64) | (TSR_D2U(s) & VM_SIGN_F64));
}
TSR_FN vm_f64 vm_sign_f64(vm_f64 x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x; }
TSR_FN vm_f64 vm_ceil_f64(vm_f64 x) { return TSR_CEIL(x); }
TSR_FN vm_f64 vm_floor_f64(vm_f64 x) { return TSR_FLOOR(x); }
TSR_FN vm_f64 vm_round_even_f64(vm_f64 x) { return TSR_RINT(x); }
TSR_FN vm_f64 vm_round_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), t = TSR_TRUNC(a);
    return vm_copysign_f64(t + (a - t >= 0.5 ? 1.0 : 0.0), x);
}
TSR_FN vm_bool vm_is_finite_f64(vm_f64 x) { return (TSR_D2U(x) & ~VM_SIGN_F64) < 0x7ff0000000000000u; }
TSR_FN vm_f64 vm_real_f64(vm_f64 x) { return x; }
TSR_FN vm_f64 vm_imag_f64(vm_f64 x) {
    (void)x;
    return 0.0;
}
TSR_FN vm_f64 vm_add_f64(vm_f64 x, vm_f64 y) { return x + y; }
TSR_FN vm_f64 vm_sub_f64(vm_f64 x, vm_f64 y) { return x - y; }
TSR_FN vm_f64 vm_mul_f64(vm_f64 x, vm_f64 y) { return x * y; }
TSR_FN vm_f64 vm_div_f64(vm_f64 x, vm_f64 y) { return x / y; }
TSR_FN vm_f64 vm_max_f64(vm_f64 x, vm_f64 y) {
    vm_f64 equal = TSR_U2D(TSR_D2U(x) & TSR_D2U(y)), r = x > y ? x : x < y ? y : equal;
    r = y != y ? y : r;
    return x != x ? x : r;
}
TSR_FN vm_f64 vm_min_f64(vm_f64 x, vm_f64 y) {
    vm_f64 equal = TSR_U2D(TSR_D2U(x) | TSR_D2U(y)), r = x < y ? x : x > y ? y : equal;
    r = y != y ? y : r;
    return x != x ? x : r;
}
TSR_FN vm_f64 vm_clamp_f64(vm_f64 lo, vm_f64 x, vm_f64 hi) { return vm_min_f64(vm_max_f64(x, lo), hi); }
TSR_FN vm_f64 vm_fma_f64(vm_f64 x, vm_f64 y, vm_f64 z) { return TSR_FUSED(x, y, z); }
TSR_FN vm_f64 vm_select_f64(vm_bool p, vm_f64 x, vm_f64 y) { return p ? x : y; }
TSR_FN vm_bool vm_eq_f64(vm_f64 x, vm_f64 y) { return x == y; }
TSR_FN vm_bool vm_ne_f64(vm_f64 x, vm_f64 y) { return x != y; }
TSR_FN vm_bool vm_lt_f64(vm_f64 x, vm_f64 y) { return x < y; }
TSR_FN vm_bool vm_le_f64(vm_f64 x, vm_f64 y) { return x <= y; }
TSR_FN vm_bool vm_gt_f64(vm_f64 x, vm_f64 y) { return x > y; }
TSR_FN vm_bool vm_ge_f64(vm_f64 x, vm_f64 y) { return x >= y; }
TSR_FN vm_f64 vm_nextafter_f64(vm_f64 x, vm_f64 y) {
    vm_u64 u = TSR_D2U(x), away = (y > x) == (x > 0.0) ? (vm_u64)1 : ~(vm_u64)0;
    vm_f64 r = x == 0.0 ? TSR_U2D((TSR_D2U(y) & VM_SIGN_F64) | 1u) : TSR_U2D(u + away);
    r = x == y ? y : r;
    return x != x || y != y ? x + y : r;
}

/* ---- error-free sums and products ---------------------------------------------------------------------------------- */

TSR_FN vm_f64 vm_two_sum(vm_f64 a, vm_f64 b, vm_f64 *lo) {
    vm_f64 s = a + b, t = s - a;
    *lo = (a - (s - t)) + (b - t);
    return s;
}
/* The same for |a| >= |b| or a = 0. */
TSR_FN vm_f64 vm_fast_sum(vm_f64 a, vm_f64 b, vm_f64 *lo) {
    vm_f64 s = a + b;
    *lo = b - (s - a);
    return s;
}
TSR_FN vm_f64 vm_two_prod(vm_f64 a, vm_f64 b, vm_f64 *lo) {
    vm_f64 p = a * b;
#if TSR_HAS_FMA
    *lo = TSR_FMA(a, b, -p);
#else
    vm_f64 a_high = TSR_U2D(TSR_D2U(a) & 0xfffffffff8000000u), a_low = a - a_high;
    vm_f64 b_high = TSR_U2D(TSR_D2U(b) & 0xfffffffff8000000u), b_low = b - b_high;
    *lo = ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
    return p;
}

/* ---- exp ----------------------------------------------------------------------------------------------------------- */

/* (e^r - 1 - r) / r^2 for |r| <= ln2/2 */
TSR_FN vm_f64 vm_exp_poly_f64(vm_f64 r) {
    vm_f64 q = TSR_FMA(2.0924576206206057e-09, r, 2.510914730501992e-08);
    q = TSR_FMA(q, r, 2.7557242304568766e-07);
    q = TSR_FMA(q, r, 2.755724391193154e-06);
    q = TSR_FMA(q, r, 2.480158736112496e-05);
    q = TSR_FMA(q, r, 0.00019841269886400825);
    q = TSR_FMA(q, r, 0.0013888888888866527);
    q = TSR_FMA(q, r, 0.008333333333321532);
    q = TSR_FMA(q, r, 0.0416666666666667);
    q = TSR_FMA(q, r, 0.16666666666666677);
    return TSR_FMA(q, r, 0.5);
}
/* x = n ln2 + r for |x| < 2^11; *n in two's complement. */
TSR_FN vm_f64 vm_exp_reduce_f64(vm_f64 x, vm_u64 *n) {
    vm_f64 t = TSR_FMA(x, 1.4426950408889634, VM_MAGIC_F64), k = t - VM_MAGIC_F64;
    *n = TSR_D2U(t) - TSR_D2U(VM_MAGIC_F64);
    return TSR_FMA(k, -VM_LN2_LO_F64, TSR_FMA(k, -VM_LN2_HI_F64, x));
}
/* y 2^n for -2044 <= n <= 2046 in two exact steps but for the last rounding. */
TSR_FN vm_f64 vm_scale_f64(vm_f64 y, vm_u64 n) {
    vm_u64 half = ((n + 4096u) >> 1) - 2048u;
    return y * TSR_U2D((half + 1023u) << 52) * TSR_U2D((n - half + 1023u) << 52);
}
/* e^(x + lo) 2^k for |lo| tiny against 1 and |k| <= 100. */
TSR_FN vm_f64 vm_exp_scaled_f64(vm_f64 x, vm_f64 lo, vm_i32 k) {
    vm_u64 n;
    vm_f64 c = x > 800.0 ? 800.0 : x, r;
    c = c < -800.0 ? -800.0 : c;
    r = vm_exp_reduce_f64(c, &n) + lo;
    return vm_scale_f64(1.0 + TSR_FMA(r * r, vm_exp_poly_f64(r), r), n + (vm_u64)(vm_i64)k);
}
TSR_FN vm_f64 vm_exp_f64(vm_f64 x) { return vm_exp_scaled_f64(x, 0.0, 0); }

TSR_FN vm_f64 vm_exp2_f64(vm_f64 x) {
    vm_f64 c = x > 1100.0 ? 1100.0 : x, t, r, p;
    c = c < -1100.0 ? -1100.0 : c;
    t = c + VM_MAGIC_F64;
    r = c - (t - VM_MAGIC_F64);
    p = TSR_FMA(2.5625246120881495e-11, r, 4.4565922388459523e-10);
    p = TSR_FMA(p, r, 7.054974772792442e-09);
    p = TSR_FMA(p, r, 1.0178051807942386e-07);
    p = TSR_FMA(p, r, 1.3215486593645534e-06);
    p = TSR_FMA(p, r, 1.5252733854614315e-05);
    p = TSR_FMA(p, r, 0.0001540353039364288);
    p = TSR_FMA(p, r, 0.001333355814639241);
    p = TSR_FMA(p, r, 0.009618129107628328);
    p = TSR_FMA(p, r, 0.05550410866482169);
    p = TSR_FMA(p, r, 0.24022650695910072);
    p = TSR_FMA(p, r, 0.6931471805599453);
    return vm_scale_f64(TSR_FMA(p, r, 1.0), TSR_D2U(t) - TSR_D2U(VM_MAGIC_F64));
}

/* ((1 - 2^-n) + (e^r - 1)) 2^n: exact in the first bracket, so small results keep their digits. */
TSR_FN vm_f64 vm_expm1_f64(vm_f64 x) {
    vm_u64 n;
    vm_f64 c = x > 710.0 ? 710.0 : x, r, p, inverse, y;
    c = c < -45.0 ? -45.0 : c;
    r = vm_exp_reduce_f64(c, &n);
    p = TSR_FMA(r * r, vm_exp_poly_f64(r), r);
    inverse = c > 60.0 ? 0.0 : TSR_U2D((1023u - n) << 52);
    y = vm_scale_f64((1.0 - inverse) + p, n);
    return x == 0.0 ? x : y;
}

TSR_FN vm_f64 vm_logistic_f64(vm_f64 x) {
    vm_f64 t = vm_exp_f64(-vm_abs_f64(x)), top = x < 0.0 ? t : 1.0;
    return top / (1.0 + t);
}
TSR_FN vm_f64 vm_sinh_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), e = vm_expm1_f64(a), y = 0.5 * (e + e / (e + 1.0));
    return vm_copysign_f64(a > 40.0 ? vm_exp_scaled_f64(a, 0.0, -1) : y, x);
}
TSR_FN vm_f64 vm_cosh_f64(vm_f64 x) {
    vm_f64 half = vm_exp_scaled_f64(vm_abs_f64(x), 0.0, -1);
    return half + 0.25 / half;
}
TSR_FN vm_f64 vm_tanh_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), c = a > 22.0 ? 22.0 : a, e = vm_expm1_f64(c + c);
    return vm_copysign_f64(e / (e + 2.0), x);
}

/* ---- log ----------------------------------------------------------------------------------------------------------- */

/* x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt 2) for positive x, subnormals included. */
TSR_FN vm_f64 vm_log_reduce_f64(vm_f64 x, vm_f64 *e) {
    vm_f64 s = x < 2.2250738585072014e-308 ? x * 18014398509481984.0 : x, less = x < 2.2250738585072014e-308 ? 54.0 : 0.0;
    vm_u64 u = TSR_D2U(s) - 0x3fe6a09e667f3bcdu;
    /* the exponent, made non-negative, put under the hidden bit of 2^52 */
    *e = (TSR_U2D(0x4330000000000000u | ((u + 0x4000000000000000u) >> 52)) - 4503599627371520.0) - less;
    return TSR_U2D((u & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu) - 1.0;
}
/* z R(z) with ln(1 + f) = 2s + s z R(z), s = f / (2 + f), z = s^2. */
TSR_FN vm_f64 vm_log_poly_f64(vm_f64 z) {
    vm_f64 r = TSR_FMA(0.14763227987688501, z, 0.1531758870977073);
    r = TSR_FMA(r, z, 0.18183412804698432);
    r = TSR_FMA(r, z, 0.22222201823955018);
    r = TSR_FMA(r, z, 0.285714287061498);
    r = TSR_FMA(r, z, 0.39999999999608793);
    r = TSR_FMA(r, z, 0.6666666666666697);
    return r * z;
}
TSR_FN vm_f64 vm_log_edges_f64(vm_f64 x, vm_f64 r) {
    r = x < VM_INF_F64 ? r : x;
    r = x == 0.0 ? -VM_INF_F64 : r;
    return x < 0.0 ? VM_NAN_F64 : r;
}
/* ln x + small, small below a unit of x's last place in ln x. */
TSR_FN vm_f64 vm_log_plus_f64(vm_f64 x, vm_f64 small) {
    vm_f64 e, f = vm_log_reduce_f64(x, &e), s = f / (2.0 + f), half = 0.5 * f * f;
    vm_f64 low = TSR_FMA(e, VM_LN2_LO_F64, small);
    vm_f64 y = e * VM_LN2_HI_F64 - ((half - (s * (half + vm_log_poly_f64(s * s)) + low)) - f);
    return vm_log_edges_f64(x, y);
}
TSR_FN vm_f64 vm_log_f64(vm_f64 x) { return vm_log_plus_f64(x, 0.0); }
/* u = 1 + x rounded, and the error of that sum as a correction. */
TSR_FN vm_f64 vm_log1p_f64(vm_f64 x) {
    vm_f64 u = 1.0 + x, error = x >= 1.0 ? 1.0 - (u - x) : x - (u - 1.0), y = vm_log_plus_f64(u, error / u);
    y = x < VM_INF_F64 ? y : x;
    y = x == -1.0 ? -VM_INF_F64 : y;
    return x == 0.0 ? x : y;
}
/* f - f^2/2 is split at 20 bits so that its product with the 32 leading bits of 1/ln2 is exact. */
TSR_FN vm_f64 vm_log2_f64(vm_f64 x) {
    vm_f64 e, f = vm_log_reduce_f64(x, &e), s = f / (2.0 + f), half = 0.5 * f * f;
    vm_f64 high = TSR_U2D(TSR_D2U(f - half) & 0xffffffff00000000u);
    vm_f64 low = (f - high) - half + s * (half + vm_log_poly_f64(s * s));
    vm_f64 y = high * 1.4426950407214463, rest = TSR_FMA(low, 1.4426950407214463, (low + high) * 1.6751713164886512e-10);
    vm_f64 w = e + y;
    return vm_log_edges_f64(x, w + (rest + ((e - w) + y)));
}
TSR_FN vm_f64 vm_asinh_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), b = a * a, w = a + b / (1.0 + TSR_SQRT(1.0 + b));
    vm_f64 huge = a > 18014398509481984.0 ? 0.6931471805599453 : 0.0;
    return vm_copysign_f64(vm_log1p_f64(huge > 0.0 ? a : w) + huge, x);
}
TSR_FN vm_f64 vm_acosh_f64(vm_f64 x) {
    vm_f64 t = x - 1.0, w = t + TSR_SQRT(t * (t + 2.0));
    vm_f64 huge = x > 18014398509481984.0 ? 0.6931471805599453 : 0.0;
    vm_f64 y = vm_log1p_f64(huge > 0.0 ? x : w) + huge;
    return x < 1.0 ? VM_NAN_F64 : y;
}
TSR_FN vm_f64 vm_atanh_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x);
    return vm_copysign_f64(0.5 * vm_log1p_f64((a + a) / (1.0 - a)), x);
}

/* ---- roots --------------------------------------------------------------------------------------------------------- */

TSR_FN vm_f64 vm_sqrt_f64(vm_f64 x) { return TSR_SQRT(x); }
TSR_FN vm_f64 vm_rsqrt_f64(vm_f64 x) { return 1.0 / TSR_SQRT(x); }

/* |x| = 8^k m with m in [1, 8): a quartic start (2^-9), two steps of Halley, and one of Newton for the last bit. */
TSR_FN vm_f64 vm_cbrt_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), s = a < 2.2250738585072014e-308 ? a * 18014398509481984.0 : a;
    vm_u64 e = (TSR_D2U(s) >> 52) + (a < 2.2250738585072014e-308 ? 1026u : 1080u); /* a multiple of 3 above the true one */
    vm_u64 k = (vm_u64)(((vm_u32)e * 43691u) >> 17), rest = e - 3u * k;
    vm_f64 m = TSR_U2D((TSR_D2U(s) & 0x000fffffffffffffu) | ((rest + 1023u) << 52)), y, c, lo, sq;
    y = TSR_FMA(-0.00043274754905025403, m, 0.009596705530624966);
    y = TSR_FMA(y, m, -0.08385902770336556);
    y = TSR_FMA(y, m, 0.4493916539757492);
    y = TSR_FMA(y, m, 0.6271573673104477);
    c = y * y * y;
    y = y * (c + m + m) / (c + c + m);
    c = y * y * y;
    y = y * (c + m + m) / (c + c + m);
    sq = vm_two_prod(y, y, &lo);
    c = vm_two_prod(sq, y, &sq);
    y = y - ((c - m) + (sq + lo * y)) / (3.0 * y * y);
    y = y * TSR_U2D((k + 322u) << 52); /* (1080 + 1023) / 3 = 701 = 1023 - 322 */
    return x == 0.0 || !(a < VM_INF_F64) ? x : vm_copysign_f64(y, x);
}

/* ---- pow ----------------------------------------------------------------------------------------------------------- */

/* ln x for positive finite x as hi + lo, relative error about 2^-65. */
TSR_FN vm_f64 vm_log_wide_f64(vm_f64 x, vm_f64 *lo) {
    vm_f64 e, f = vm_log_reduce_f64(x, &e), t = 2.0 + f, t_lo = f - (t - 2.0), s = f / t;
    vm_f64 p_lo, p = vm_two_prod(s, t, &p_lo), s_lo = (((f - p) - p_lo) - s * t_lo) / t;
    vm_f64 z_lo, z = vm_two_prod(s, s, &z_lo), r, a, a_lo, b, b_lo, h, h_lo;
    z_lo = TSR_FMA(s + s, s_lo, z_lo);
    r = TSR_FMA(0.13078118135898154, z, 0.13270195603466511);
    r = TSR_FMA(r, z, 0.15386152786484858);
    r = TSR_FMA(r, z, 0.18181798192502668);
    r = TSR_FMA(r, z, 0.2222222235358735);
    r = TSR_FMA(r, z, 0.2857142857107544);
    r = TSR_FMA(r, z, 0.40000000000000163);
    /* a = z (2/3 + z r) */
    a = vm_two_prod(z, 0.66666666666666663, &a_lo);
    a_lo = a_lo + (z_lo * 0.66666666666666663 + (z * 3.7007434154171886e-17 + z * z * r));
    a = vm_fast_sum(a, a_lo, &a_lo);
    b = vm_two_prod(s, a, &b_lo);
    b_lo = b_lo + (s * a_lo + s_lo * a);
    /* e ln2 + 2s + b */
    h = vm_two_sum(e * VM_LN2_HI_F64, s + s, &h_lo);
    h_lo = h_lo + ((s_lo + s_lo) + (b_lo + e * VM_LN2_LO_F64));
    h = vm_two_sum(h, b, &b_lo);
    return vm_fast_sum(h, h_lo + b_lo, lo);
}
/* The special cases of IEEE 754 pow around `power` = |x|^y. */
TSR_FN vm_f64 vm_pow_edges_f64(vm_f64 x, vm_f64 y, vm_f64 power) {
    vm_f64 a = vm_abs_f64(x), half = 0.5 * y, r = power;
    vm_bool whole = TSR_TRUNC(y) == y, odd = whole && TSR_TRUNC(half) != half;
    vm_bool y_infinite = vm_abs_f64(y) == VM_INF_F64, grows = (a > 1.0) == (y > 0.0);
    r = a == 0.0 || a == VM_INF_F64 || y_infinite ? (grows ? VM_INF_F64 : 0.0) : r;
    r = a == 1.0 && y_infinite ? 1.0 : r;
    r = x < 0.0 && a < VM_INF_F64 && !whole ? VM_NAN_F64 : r;
    r = odd && (TSR_D2U(x) & VM_SIGN_F64) != 0u ? -r : r;
    r = x != x || y != y ? x + y : r;
    return x == 1.0 || y == 0.0 ? 1.0 : r;
}
TSR_FN vm_f64 vm_pow_f64(vm_f64 x, vm_f64 y) {
    vm_f64 c = y > 1e25 ? 1e25 : y < -1e25 ? -1e25 : y, lo, h = vm_log_wide_f64(vm_abs_f64(x), &lo), p_lo, p = vm_two_prod(c, h, &p_lo);
    p_lo = TSR_FMA(c, lo, p_lo);
    p_lo = vm_abs_f64(p) < 800.0 ? p_lo : 0.0;
    return vm_pow_edges_f64(x, y, vm_exp_scaled_f64(p, p_lo, 0));
}

/* ---- sin, cos, tan ------------------------------------------------------------------------------------------------- */

/* a = q pi/2 + r + *lo for 0 <= a < VM_TRIG_SMALL_F64: three pieces of pi/2 with 33 bits each times n are exact. */
TSR_FN vm_f64 vm_trig_small_f64(vm_f64 a, vm_f64 *lo, vm_u64 *q) {
    vm_f64 t = TSR_FMA(a, 0.6366197723675814, VM_MAGIC_F64), n = t - VM_MAGIC_F64, r, e1, e2;
    r = a - n * 1.5707963267341256;
    r = vm_two_sum(r, n * -6.077100506303966e-11, &e1);
    r = vm_two_sum(r, n * -2.0222662487111665e-21, &e2);
    *q = TSR_D2U(t) - TSR_D2U(VM_MAGIC_F64);
    return vm_fast_sum(r, (e1 + e2) - n * 8.4784276603689e-32, lo);
}
/* One 32-bit word of a product of 53 by 192 bits: adds m_lo w0 + m_hi w1 to the carry. */
TSR_FN vm_u64 vm_trig_column(vm_u64 *carry, vm_u64 m_lo, vm_u64 w0, vm_u64 m_hi, vm_u64 w1) {
    vm_u64 p0 = m_lo * w0, p1 = m_hi * w1, sum = (p0 & 0xffffffffu) + (p1 & 0xffffffffu) + (*carry & 0xffffffffu);
    *carry = (p0 >> 32) + (p1 >> 32) + (*carry >> 32) + (sum >> 32);
    return sum & 0xffffffffu;
}
/* The same for VM_TRIG_SMALL_F64 <= a < infinity; see vm_trig_large_f32: here 192 bits of 2/pi times 53. */
TSR_FN vm_f64 vm_trig_large_f64(vm_f64 a, vm_f64 *lo, vm_u64 *q) {
    vm_u64 u = TSR_D2U(a), e = u >> 52, m = (u & 0x000fffffffffffffu) | 0x0010000000000000u, carry = 0, w[6], p[6], top, n;
    vm_u32 at = e < 1041u ? 28u : e > 2046u ? 1033u : (vm_u32)e - 1013u; /* E + 62, E = e - 1075 */
    vm_f64 h, e1, e2, r;
    for (int i = 0; i < 6; i++) w[i] = vm_two_over_pi_bits(at + 32u * (vm_u32)i);
    for (int i = 5; i >= 0; i--) p[i] = vm_trig_column(&carry, m & 0xffffffffu, w[i], m >> 32, i < 5 ? w[i + 1] : 0u);
    top = p[0] << 32 | p[1];
    n = (top + 0x2000000000000000u) >> 62;
    top = top - (n << 62);
    h = (vm_f64)((vm_i32)(top >> 32)) * 4294967296.0;
    h = vm_two_sum(h, (vm_f64)(vm_u32)top, &e1);
    h = vm_two_sum(h, (vm_f64)(vm_u32)p[2] * 2.3283064365386963e-10, &e2);
    e1 = e1 + (e2 + (vm_f64)(vm_u32)p[3] * 5.421010862427522e-20);
    h = vm_fast_sum(h, e1, &e1);
    r = vm_two_prod(h, 3.4061215800865545e-19, &e2); /* pi/2 * 2^-62 */
    *q = n;
    return vm_fast_sum(r, e2 + (h * 1.3277647201629514e-35 + e1 * 3.4061215800865545e-19), lo);
}
TSR_FN vm_f64 vm_trig_f64(vm_f64 a, vm_f64 *lo, vm_u64 *q) {
    vm_u64 q_large, q_small;
    vm_f64 lo_large, lo_small, large = vm_trig_large_f64(a, &lo_large, &q_large), small = vm_trig_small_f64(a, &lo_small, &q_small);
    *q = a < VM_TRIG_SMALL_F64 ? q_small : q_large;
    *lo = a < VM_TRIG_SMALL_F64 ? lo_small : lo_large;
    large = a < VM_INF_F64 ? large : VM_NAN_F64;
    return a < VM_TRIG_SMALL_F64 ? small : large;
}
TSR_FN vm_f64 vm_sin_poly_f64(vm_f64 r, vm_f64 lo) {
    vm_f64 z = r * r, s = TSR_FMA(1.590015089635874e-10, z, -2.5050823924018604e-08);
    s = TSR_FMA(s, z, 2.755731418045933e-06);
    s = TSR_FMA(s, z, -0.00019841269831497927);
    s = TSR_FMA(s, z, 0.008333333333325078);
    s = TSR_FMA(s, z, -0.16666666666666646);
    return r + TSR_FMA(s * z, r, TSR_FMA(-0.5 * z, lo, lo));
}
TSR_FN vm_f64 vm_cos_poly_f64(vm_f64 r, vm_f64 lo) {
    vm_f64 z = r * r, half = 0.5 * z, w = 1.0 - half, c = TSR_FMA(-1.1368436540803995e-11, z, 2.0875904645330786e-09);
    c = TSR_FMA(c, z, -2.7557315787232095e-07);
    c = TSR_FMA(c, z, 2.4801587294864066e-05);
    c = TSR_FMA(c, z, -0.0013888888888883544);
    c = TSR_FMA(c, z, 0.04166666666666666);
    return w + (((1.0 - w) - half) + TSR_FMA(c, z * z, -r * lo));
}
TSR_FN vm_f64 vm_sin_quadrant_f64(vm_f64 r, vm_f64 lo, vm_u64 q, vm_u64 sign) {
    vm_f64 s = vm_sin_poly_f64(r, lo), c = vm_cos_poly_f64(r, lo);
    return TSR_U2D(TSR_D2U((q & 1u) != 0u ? c : s) ^ ((q & 2u) << 62) ^ (sign & VM_SIGN_F64));
}
TSR_FN vm_f64 vm_tan_quadrant_f64(vm_f64 r, vm_f64 lo, vm_u64 q, vm_u64 sign) {
    vm_f64 s = vm_sin_poly_f64(r, lo), c = vm_cos_poly_f64(r, lo), top = (q & 1u) != 0u ? c : s, bottom = (q & 1u) != 0u ? s : c;
    return TSR_U2D(TSR_D2U(top / bottom) ^ ((q & 1u) << 63) ^ (sign & VM_SIGN_F64));
}
#define VM_TRIG_FUNCTIONS(suffix, reduce)                                            \
    TSR_FN vm_f64 vm_sin##suffix(vm_f64 x) {                                         \
        vm_f64 lo, r;                                                                \
        vm_u64 q;                                                                    \
        r = reduce(vm_abs_f64(x), &lo, &q);                                          \
        return vm_sin_quadrant_f64(r, lo, q, TSR_D2U(x));                            \
    }                                                                                \
    TSR_FN vm_f64 vm_cos##suffix(vm_f64 x) {                                         \
        vm_f64 lo, r;                                                                \
        vm_u64 q;                                                                    \
        r = reduce(vm_abs_f64(x), &lo, &q);                                          \
        return vm_sin_quadrant_f64(r, lo, q + 1u, 0u);                               \
    }                                                                                \
    TSR_FN vm_f64 vm_tan##suffix(vm_f64 x) {                                         \
        vm_f64 lo, r;                                                                \
        vm_u64 q;                                                                    \
        r = reduce(vm_abs_f64(x), &lo, &q);                                          \
        return vm_tan_quadrant_f64(r, lo, q, TSR_D2U(x));                            \
    }
VM_TRIG_FUNCTIONS(_f64, vm_trig_f64)             /* the whole domain */
VM_TRIG_FUNCTIONS(_small_f64, vm_trig_small_f64) /* the same bits where |x| < VM_TRIG_SMALL_F64 */

/* ---- asin, acos, atan ---------------------------------------------------------------------------------------------- */

/* (asin s - s) / s for z = s^2 <= 1/4 */
TSR_FN vm_f64 vm_asin_poly_f64(vm_f64 z) {
    vm_f64 r = TSR_FMA(0.031332545412025306, z, -0.015320776983701365);
    r = TSR_FMA(r, z, 0.01890974936054187);
    r = TSR_FMA(r, z, 0.0067723942782663684);
    r = TSR_FMA(r, z, 0.012107604997994353);
    r = TSR_FMA(r, z, 0.013895563987583091);
    r = TSR_FMA(r, z, 0.017358539656287773);
    r = TSR_FMA(r, z, 0.022371845490584904);
    r = TSR_FMA(r, z, 0.03038195492248266);
    r = TSR_FMA(r, z, 0.04464285694999054);
    r = TSR_FMA(r, z, 0.07500000000153448);
    r = TSR_FMA(r, z, 0.16666666666666452);
    return r * z;
}
#define VM_PIO2_HI_F64 1.5707963267948966
#define VM_PIO2_LO_F64 6.123233995736766e-17
/* asin x = pi/2 - 2 asin sqrt((1 - x) / 2) above 1/2. */
TSR_FN vm_f64 vm_asin_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), z = a > 0.5 ? 0.5 - 0.5 * a : a * a, s = a > 0.5 ? TSR_SQRT(z) : a, p = s * vm_asin_poly_f64(z);
    vm_f64 big = VM_PIO2_HI_F64 - (2.0 * (s + p) - VM_PIO2_LO_F64);
    return vm_copysign_f64(a > 0.5 ? big : s + p, x);
}
TSR_FN vm_f64 vm_acos_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), z = a > 0.5 ? 0.5 - 0.5 * a : a * a, s = a > 0.5 ? TSR_SQRT(z) : x, p = s * vm_asin_poly_f64(z);
    vm_f64 small = VM_PIO2_HI_F64 - (s + (p - VM_PIO2_LO_F64)), right = 2.0 * (s + p);
    vm_f64 left = 2.0 * (VM_PIO2_HI_F64 - (s + (p - VM_PIO2_LO_F64)));
    return a > 0.5 ? (x > 0.0 ? right : left) : small;
}
/* Angle in [0, pi/2] of y/x for x, y >= 0: y/x, or (y-x)/(y+x) and pi/4, or -x/y and pi/2, whichever is below tan(pi/8). */
TSR_FN vm_f64 vm_angle_f64(vm_f64 y, vm_f64 x) {
    vm_f64 scale = x > 1e300 || y > 1e300 ? 9.3132257461547852e-10 : 1.0;
    vm_f64 v = y == VM_INF_F64 && x == VM_INF_F64 ? 1.0 : y * scale, h = y == VM_INF_F64 && x == VM_INF_F64 ? 1.0 : x * scale;
    vm_bool steep = v > 2.414213562373095 * h, mid = v > 0.4142135623730950 * h;
    vm_f64 top = steep ? -h : mid ? v - h : v, bottom = steep ? v : mid ? v + h : h;
    vm_f64 base = steep ? VM_PIO2_HI_F64 : mid ? 0.5 * VM_PIO2_HI_F64 : 0.0;
    vm_f64 base_lo = steep ? VM_PIO2_LO_F64 : mid ? 0.5 * VM_PIO2_LO_F64 : 0.0;
    vm_f64 t = top / (bottom == 0.0 ? 1.0 : bottom), z = t * t, r;
    r = TSR_FMA(-0.018131563439145452, z, 0.03828459813724494);
    r = TSR_FMA(r, z, -0.05048659080668513);
    r = TSR_FMA(r, z, 0.058501470525997475);
    r = TSR_FMA(r, z, -0.06663444345440446);
    r = TSR_FMA(r, z, 0.07692093397788806);
    r = TSR_FMA(r, z, -0.09090899854310261);
    r = TSR_FMA(r, z, 0.11111110866960083);
    r = TSR_FMA(r, z, -0.1428571428216148);
    r = TSR_FMA(r, z, 0.19999999999977516);
    r = TSR_FMA(r, z, -0.3333333333333331);
    return base + (t + TSR_FMA(r * z, t, base_lo));
}
TSR_FN vm_f64 vm_atan_f64(vm_f64 x) { return vm_copysign_f64(vm_angle_f64(vm_abs_f64(x), 1.0), x); }
TSR_FN vm_f64 vm_atan2_f64(vm_f64 y, vm_f64 x) {
    vm_f64 angle = vm_angle_f64(vm_abs_f64(y), vm_abs_f64(x)), left = 2.0 * VM_PIO2_HI_F64 - (angle - 2.0 * VM_PIO2_LO_F64);
    vm_f64 r = vm_copysign_f64((TSR_D2U(x) & VM_SIGN_F64) != 0u ? left : angle, y);
    return x != x || y != y ? x + y : r;
}

/* ---- erf ----------------------------------------------------------------------------------------------------------- */

/* erf x / x - 1 for z = x^2 <= 1 */
TSR_FN vm_f64 vm_erf_poly_f64(vm_f64 z) {
    vm_f64 p = TSR_FMA(-7.779462971761597e-10, z, 1.3710988704190523e-08);
    p = TSR_FMA(p, z, -1.6206318752969208e-07);
    p = TSR_FMA(p, z, 1.6447132699786621e-06);
    p = TSR_FMA(p, z, -1.4924712439534814e-05);
    p = TSR_FMA(p, z, 0.0001205529358693695);
    p = TSR_FMA(p, z, -0.0008548325929766244);
    p = TSR_FMA(p, z, 0.005223977606130842);
    p = TSR_FMA(p, z, -0.026866170643113415);
    p = TSR_FMA(p, z, 0.112837916709442);
    p = TSR_FMA(p, z, -0.3761263890318352);
    return TSR_FMA(p, z, 0.12837916709551256);
}
/* erfc x for x >= 1: e^(-x^2) / (1 + 2x) times a polynomial in (x - 3) / (x + 3) for the smooth function that remains (the form is
 * Shepherd and Laframboise's, 1981). x^2 is carried in two parts; 2^64 keeps small factors normal until the last product. */
TSR_FN vm_f64 vm_erfc_tail_f64(vm_f64 x) {
    vm_f64 c = x > 28.0 ? 28.0 : x, q = (c - 3.0) / (c + 3.0), lo, s = vm_two_prod(c, c, &lo), p;
    p = TSR_FMA(-2.4153052877354164e-08, q, 1.4067921233493031e-07);
    p = TSR_FMA(p, q, -7.464125928613042e-08);
    p = TSR_FMA(p, q, -6.906233619428111e-07);
    p = TSR_FMA(p, q, 3.366480987033365e-07);
    p = TSR_FMA(p, q, 3.5205482989175587e-06);
    p = TSR_FMA(p, q, -7.343579034753853e-07);
    p = TSR_FMA(p, q, -2.0116785009962326e-05);
    p = TSR_FMA(p, q, 4.952775969136671e-06);
    p = TSR_FMA(p, q, 0.00012510252501310537);
    p = TSR_FMA(p, q, -0.00010516068226689321);
    p = TSR_FMA(p, q, -0.0007798326449966283);
    p = TSR_FMA(p, q, 0.0018886904759076505);
    p = TSR_FMA(p, q, 0.002529391842115011);
    p = TSR_FMA(p, q, -0.023770514926733027);
    p = TSR_FMA(p, q, 0.06830802734295742);
    p = TSR_FMA(p, q, -0.11927366341503844);
    p = TSR_FMA(p, q, 0.12964515870278);
    p = TSR_FMA(p, q, -0.04756229435345414);
    p = TSR_FMA(p, q, -0.13562110612458128);
    p = TSR_FMA(p, q, 1.2530080582697296);
    return vm_exp_scaled_f64(-s, -lo, 64) * (p / TSR_FMA(2.0, c, 1.0)) * 5.421010862427522e-20;
}
TSR_FN vm_f64 vm_erf_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), small = TSR_FMA(a, vm_erf_poly_f64(a * a), a);
    return vm_copysign_f64(a < 1.0 ? small : 1.0 - vm_erfc_tail_f64(a), x);
}
TSR_FN vm_f64 vm_erfc_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), small = (1.0 - x) - x * vm_erf_poly_f64(x * x), tail = vm_erfc_tail_f64(a);
    return a < 1.0 ? small : x < 0.0 ? 2.0 - tail : tail;
}
/* Inverse of erf: y / x is smooth in w = -ln(1 - x^2) up to w = 5, and in sqrt w above (the form is Giles's, 2010). */
TSR_FN vm_f64 vm_erf_inv_center(vm_f64 w) {
    vm_f64 v = w - 2.5, p = TSR_FMA(1.3170627091396944e-10, v, 4.350175741343537e-10);
    p = TSR_FMA(p, v, -1.1005991352340674e-08);
    p = TSR_FMA(p, v, 1.6485495926924196e-08);
    p = TSR_FMA(p, v, 4.796075276021189e-07);
    p = TSR_FMA(p, v, -3.426149113157784e-06);
    p = TSR_FMA(p, v, -4.9985550971500484e-06);
    p = TSR_FMA(p, v, 0.00021826382347576683);
    p = TSR_FMA(p, v, -0.0012527050542641314);
    p = TSR_FMA(p, v, -0.004177324812645126);
    p = TSR_FMA(p, v, 0.24664027582460485);
    return TSR_FMA(p, v, 1.5014093517104312);
}
/* A start of 20 bits, then one step of Halley on erf y - x, or on erfc y - (1 - x) where that is the more exact. */
TSR_FN vm_f64 vm_erf_inv_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), rest = 1.0 - a, w = -vm_log_f64(rest * (1.0 + a)), v = TSR_SQRT(w) - 4.0, p, y, d;
    p = TSR_FMA(-6.997846599846163e-07, v, 1.856004340832927e-05);
    p = TSR_FMA(p, v, -7.368880003651436e-05);
    p = TSR_FMA(p, v, 8.624771765281917e-05);
    p = TSR_FMA(p, v, -4.0932199871560546e-05);
    p = TSR_FMA(p, v, 0.000263699919584152);
    p = TSR_FMA(p, v, -0.0009294563033597764);
    p = TSR_FMA(p, v, 0.0012890616483781062);
    p = TSR_FMA(p, v, 1.009507628228945);
    p = TSR_FMA(p, v, 3.8397817469646003);
    y = a * (w < 5.0 ? vm_erf_inv_center(w) : p);
    d = (a < 0.5 ? vm_erf_f64(y) - a : rest - vm_erfc_f64(y)) * 0.886226925452758 / vm_exp_f64(-y * y);
    y = y - d / TSR_FMA(y, d, 1.0);
    y = a == 1.0 ? VM_INF_F64 : y;
    return a > 1.0 ? VM_NAN_F64 : vm_copysign_f64(y, x);
}

/* ---- gamma --------------------------------------------------------------------------------------------------------- */

/* sin(pi x) / x for |x| <= 1/2 */
TSR_FN vm_f64 vm_sinpi_poly_f64(vm_f64 z) {
    vm_f64 p = TSR_FMA(7.694727910685418e-07, z, -2.190318548305919e-05);
    p = TSR_FMA(p, z, 0.00046629968879996004);
    p = TSR_FMA(p, z, -0.007370430478768394);
    p = TSR_FMA(p, z, 0.08214588656989333);
    p = TSR_FMA(p, z, -0.5992645293187383);
    p = TSR_FMA(p, z, 2.550164039877294);
    p = TSR_FMA(p, z, -5.167712780049969);
    return TSR_FMA(p, z, 3.141592653589793);
}
/* ln Gamma(x) for x > 0. From 8 by Stirling's series; below by the recurrence into [1.5, 2.5), where (x - 2) times a polynomial keeps
 * the digits near the zero at 2, and ln x those near 1. */
TSR_FN vm_f64 vm_lgamma_positive_f64(vm_f64 x) {
    vm_bool large = x >= 8.0;
    vm_f64 t = large ? 2.0 : x, product = 1.0, p, l, w, s;
    vm_f64 below = t < 0.5 ? t * (t + 1.0) : t < 1.5 ? t : 1.0; /* x < 1.5 goes up */
    t = t < 0.5 ? t + 2.0 : t < 1.5 ? t + 1.0 : t;
    for (int i = 0; i < 6; i++) { /* x >= 2.5 comes down */
        vm_f64 down = t - 1.0;
        vm_bool more = t >= 2.5;
        product = more ? product * down : product;
        t = more ? down : t;
    }
    t = t - 2.0;
    t = x < 0.5 ? x : x < 1.5 ? x - 1.0 : t; /* the same without rounding */
    p = TSR_FMA(-3.346449729085404e-08, t, 6.466753394178938e-08);
    p = TSR_FMA(p, t, -9.232593559724352e-08);
    p = TSR_FMA(p, t, 2.0200755800853116e-07);
    p = TSR_FMA(p, t, -4.525465111083238e-07);
    p = TSR_FMA(p, t, 9.583860279889243e-07);
    p = TSR_FMA(p, t, -2.0383990485649216e-06);
    p = TSR_FMA(p, t, 4.374232986239766e-06);
    p = TSR_FMA(p, t, -9.439616620056102e-06);
    p = TSR_FMA(p, t, 2.0507290447651216e-05);
    p = TSR_FMA(p, t, -4.492622387524569e-05);
    p = TSR_FMA(p, t, 9.945750684049894e-05);
    p = TSR_FMA(p, t, -0.00022315475925407022);
    p = TSR_FMA(p, t, 0.0005096695250153575);
    p = TSR_FMA(p, t, -0.00119275391167425);
    p = TSR_FMA(p, t, 0.002890510330734682);
    p = TSR_FMA(p, t, -0.007385551028674524);
    p = TSR_FMA(p, t, 0.020580808427784626);
    p = TSR_FMA(p, t, -0.06735230105319809);
    p = TSR_FMA(p, t, 0.3224670334241132);
    p = TSR_FMA(p, t, 0.42278433509846713);
    l = vm_log_f64(large ? x : x < 1.5 ? below : product);
    w = 1.0 / x;
    s = w * w;
    s = TSR_FMA(TSR_FMA(TSR_FMA(TSR_FMA(TSR_FMA(TSR_FMA(0.005069265392352649, s, -0.0018905408298981376), s, 0.0008414728669380262), s,
                                        -0.0005952366071162396), s, 0.0007936507898355585), s, -0.0027777777777741003), s, 0.08333333333333333);
    s = TSR_FMA(x - 0.5, l - 1.0, TSR_FMA(s, w, 0.41893853320467274)); /* (ln(2 pi) - 1) / 2 */
    p = TSR_FMA(p, t, x < 1.5 ? -l : l);
    return large ? s : p;
}
/* Below 0 by reflection: Gamma(x) Gamma(-x) = -pi / (x sin(pi x)). */
TSR_FN vm_f64 vm_lgamma_f64(vm_f64 x) {
    vm_f64 a = vm_abs_f64(x), part = a - TSR_RINT(a), s = part * vm_sinpi_poly_f64(part * part), g, r;
    g = vm_lgamma_positive_f64(a < 1e-300 ? 1e-300 : a);
    r = x > 0.0 ? g : -vm_log_f64(vm_abs_f64(a * s) * 0.3183098861837907) - g;
    r = a < 1e-20 ? -vm_log_f64(a) : r;
    r = x <= 0.0 && part == 0.0 ? VM_INF_F64 : r;
    r = a < VM_INF_F64 ? r : VM_INF_F64;
    return x != x ? x : r;
}
/* psi(x) for x > 0: the recurrence up to 8 as one fraction top / bottom, then the asymptotic series. */
TSR_FN vm_f64 vm_digamma_positive_f64(vm_f64 x) {
    vm_f64 t = x, top = 0.0, bottom = 1.0, w, s;
    for (int i = 0; i < 8; i++) {
        vm_bool more = t < 8.0;
        top = more ? TSR_FMA(top, t, bottom) : top;
        bottom = more ? bottom * t : bottom;
        t = more ? t + 1.0 : t;
    }
    w = 1.0 / t;
    s = w * w;
    s = s * TSR_FMA(TSR_FMA(TSR_FMA(TSR_FMA(TSR_FMA(TSR_FMA(0.06367564464597399, s, -0.020700531088245516), s, 0.007571734462889052), s,
                                            -0.00416664518767302), s, 0.003968253913295257), s, -0.008333333333280445), s, 0.08333333333333333);
    return vm_log_f64(t) - (TSR_FMA(0.5, w, s) + top / bottom);
}
/* Below 0 by reflection: psi(1 - x) - psi(x) = pi / tan(pi x). */
TSR_FN vm_f64 vm_digamma_f64(vm_f64 x) {
    vm_f64 part = x - TSR_RINT(x), s = part * vm_sinpi_poly_f64(part * part), half = 0.5 - vm_abs_f64(part);
    vm_f64 c = half * vm_sinpi_poly_f64(half * half), g = vm_digamma_positive_f64(x > 0.0 ? x : 1.0 - x);
    vm_f64 r = x > 0.0 ? g : g - 3.141592653589793 * c / s;
    r = x == VM_INF_F64 ? x : r;
    return x <= 0.0 && part == 0.0 ? VM_NAN_F64 : r;
}

/* ---- remainder ----------------------------------------------------------------------------------------------------- */

/* Long division of the significands, 11 bits of the quotient in a turn; exact. */
TSR_FN vm_f64 vm_rem_f64(vm_f64 x, vm_f64 y) {
    vm_u64 ux = TSR_D2U(x) & ~VM_SIGN_F64, uy = TSR_D2U(y) & ~VM_SIGN_F64, ex = ux >> 52, ey = uy >> 52, d, k;
    vm_u64 r = (ux & 0x000fffffffffffffu) | (ex ? 0x0010000000000000u : 0u), m = (uy & 0x000fffffffffffffu) | (ey ? 0x0010000000000000u : 0u);
    if (ux >= 0x7ff0000000000000u || uy > 0x7ff0000000000000u || uy == 0) return VM_NAN_F64;
    if (ux < uy) return x;
    ex = ex ? ex : 1u, ey = ey ? ey : 1u;
    r = r % m;
    for (d = ex - ey; d > 0; d -= k) {
        k = d < 11u ? d : 11u;
        r = (r << k) % m;
    }
    return vm_copysign_f64(vm_scale_f64((vm_f64)r, ey - 1075u), x);
}
