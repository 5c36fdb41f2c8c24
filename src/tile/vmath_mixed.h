/* vmath_mixed.h: f32 functions computed in f64 and rounded once: half an ulp, for the functions whose speed matters less than their
 * size in f32 would. Text of vmath.h: see the contract there. */

#define VM_THROUGH_F64(name) \
    TSR_FN vm_f32 vm_##name##_f32(vm_f32 x) { return (vm_f32)vm_##name##_f64((vm_f64)x); }
VM_THROUGH_F64(expm1)
VM_THROUGH_F64(log1p)
VM_THROUGH_F64(cbrt)
VM_THROUGH_F64(asin)
VM_THROUGH_F64(acos)
VM_THROUGH_F64(atan)
VM_THROUGH_F64(sinh)
VM_THROUGH_F64(cosh)
VM_THROUGH_F64(asinh)
VM_THROUGH_F64(acosh)
VM_THROUGH_F64(atanh)
VM_THROUGH_F64(erfc)
VM_THROUGH_F64(lgamma)
VM_THROUGH_F64(digamma)

TSR_FN vm_f32 vm_atan2_f32(vm_f32 y, vm_f32 x) { return (vm_f32)vm_atan2_f64((vm_f64)y, (vm_f64)x); }

/* y ln x needs 24 bits after a product of up to 2^7: f64 has them without a second part. */
TSR_FN vm_f32 vm_pow_f32(vm_f32 x, vm_f32 y) {
    vm_f64 p = (vm_f64)y * vm_log_f64((vm_f64)vm_abs_f32(x));
    return (vm_f32)vm_pow_edges_f64((vm_f64)x, (vm_f64)y, vm_exp_f64(p));
}

/* The reductions of f32 with the remainder in f64 (for small arguments pi/2 in two parts of f64 does). */
TSR_FN vm_f32 vm_tan_small_f32(vm_f32 x) {
    vm_f64 a = (vm_f64)vm_abs_f32(x), t = TSR_FMA(a, 0.6366197723675814, VM_MAGIC_F64), n = t - VM_MAGIC_F64;
    vm_f64 r = (a - n * 1.5707963267341256) - n * 6.077100506506192e-11;
    return (vm_f32)vm_tan_quadrant_f64(r, 0.0, TSR_D2U(t) - TSR_D2U(VM_MAGIC_F64), (vm_u64)TSR_F2U(x) << 32);
}
TSR_FN vm_f32 vm_tan_f32(vm_f32 x) {
    vm_u32 q;
    vm_f32 a = vm_abs_f32(x), small = vm_tan_small_f32(x);
    vm_f64 r = vm_trig_large_wide_f32(a, &q);
    vm_f32 y = a < VM_TRIG_SMALL_F32 ? small : (vm_f32)vm_tan_quadrant_f64(r, 0.0, (vm_u64)q, (vm_u64)TSR_F2U(x) << 32);
    return a < VM_INF_F32 ? y : VM_NAN_F32;
}

/* See vm_erf_inv_f64: f32 arguments end at w = 17, and need no correction. */
TSR_FN vm_f32 vm_erf_inv_f32(vm_f32 x) {
    vm_f64 a = (vm_f64)vm_abs_f32(x), w = -vm_log_f64((1.0 - a) * (1.0 + a)), v = TSR_SQRT(w) - 3.0, p;
    p = TSR_FMA(-2.674144819502585e-05, v, 0.00015505294835425993);
    p = TSR_FMA(p, v, -0.0002788246598757871);
    p = TSR_FMA(p, v, -0.00011283949333814938);
    p = TSR_FMA(p, v, 0.001474130541021701);
    p = TSR_FMA(p, v, -0.0035703135492942783);
    p = TSR_FMA(p, v, 0.005688306732136167);
    p = TSR_FMA(p, v, -0.007642212141376409);
    p = TSR_FMA(p, v, 0.009445227283978863);
    p = TSR_FMA(p, v, 1.0016752101675555);
    p = TSR_FMA(p, v, 2.8329768026447724);
    p = a * (w < 5.0 ? vm_erf_inv_center(w) : p);
    p = a == 1.0 ? VM_INF_F64 : p;
    p = a > 1.0 ? VM_NAN_F64 : p;
    return vm_copysign_f32((vm_f32)p, x);
}
