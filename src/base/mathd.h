/* Double-precision functions for setup code (initial values, schedules, rotary tables): our own,
 * from basic operations only, so that every machine and compiler gets the same bits. Not for
 * kernels. Relative error is below 1e-15 on the ranges named (checked against libm in test/unit).
 */
#ifndef GW_MATHD_H
#define GW_MATHD_H

#include <stdbool.h>

double gw_sqrt_f64(double x);     /* correctly rounded */
double gw_exp_f64(double x);      /* |x| <= 700 */
double gw_exp_fast_f64(double x); /* x <= 0; below -700: 0. No division: for whole vocabularies */
double gw_log_f64(double x);      /* x > 0, normal */
double gw_cos_f64(double x);      /* |x| <= 1e6, absolute error */
double gw_sin_f64(double x);      /* |x| <= 1e6, absolute error */
/* What both sum, for kernels that turn many angles at once: terms in r^2j and in r^2j r. */
enum { GW_SERIES = 10 };
extern const double gw_cos_series[GW_SERIES], gw_sin_series[GW_SERIES];

double gw_pow_f64(double x, double y); /* exp(y log x), x > 0; about 1e-14 */
double gw_power_f64(double x, long n); /* x^n by squaring, n >= 0 */

/* neither infinite nor NaN */
static inline bool gw_is_finite(double x) { return x - x == 0; }

#endif
