/* Argument reduction to a small interval, then a Taylor polynomial long enough for double.
 *   exp: x = n ln2 + r, |r| <= ln2/2;  log: x = 2^n m, atanh series in (m-1)/(m+1);
 *   sin, cos: x = n pi/2 + r with pi/2 in three parts (Cody and Waite, 1980). */
#include "base/mathd.h"

#include <stdint.h>
#include <string.h>

static double two_to_the(int n) {
  uint64_t bits = (uint64_t)(n + 1023) << 52;
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

double gw_sqrt_f64(double x) { return __builtin_sqrt(x); } /* IEEE requires correct rounding */

static double round_to_integer(double x) { return (double)(int64_t)(x + (x >= 0 ? 0.5 : -0.5)); }

double gw_exp_f64(double x) {
  const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  double n = round_to_integer(x * 0x1.71547652b82fep0);
  double r = (x - n * ln2_high) - n * ln2_low;
  double sum = 1;
  for (int k = 14; k >= 1; k--) sum = 1 + sum * r / k;
  int whole = (int)n, half = whole / 2;
  return sum * two_to_the(half) * two_to_the(whole - half);
}

/* The same sum with factors instead of quotients; one term less makes 2e-16. */
double gw_exp_fast_f64(double x) {
  static const double inverse_factorial[] = {
      1,
      1,
      1.0 / 2,
      1.0 / 6,
      1.0 / 24,
      1.0 / 120,
      1.0 / 720,
      1.0 / 5040,
      1.0 / 40320,
      1.0 / 362880,
      1.0 / 3628800,
      1.0 / 39916800,
      1.0 / 479001600,
  };
  const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  if (x < -700) return 0;
  int n = (int)(x * 0x1.71547652b82fep0 - 0.5); /* the nearest, as x <= 0 */
  double r = (x - n * ln2_high) - n * ln2_low, sum = inverse_factorial[12];
  for (int k = 11; k >= 0; k--) sum = sum * r + inverse_factorial[k];
  return sum * two_to_the(n);
}

double gw_log_f64(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int n = (int)(bits >> 52) - 1023;
  bits = (bits & UINT64_C(0xfffffffffffff)) | UINT64_C(0x3ff0000000000000);
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m /= 2;
    n++;
  }
  double s = (m - 1) / (m + 1), square = s * s, sum = 0;
  for (int k = 21; k >= 3; k -= 2) sum = (sum + 1.0 / k) * square;
  double log_m = 2 * s + 2 * s * sum;
  return n * 0x1.62e42feep-1 + (log_m + n * 0x1.a39ef35793c76p-33);
}

static double reduce_quarter(double x, int *quadrant) {
  double n = round_to_integer(x * 0x1.45f306dc9c883p-1);
  *quadrant = (int)((int64_t)n & 3);
  double r = x - n * 0x1.921fb54400000p0;
  r -= n * 0x1.0b4611a600000p-34;
  return r - n * 0x1.3198a2e037073p-69;
}

/* (-1)^j / (2j)! and (-1)^j / (2j + 1)!: |r| <= pi/4, where the next term is below 1e-19. */
const double gw_cos_series[GW_SERIES] = {1.0,
                                         -1.0 / 2,
                                         1.0 / 24,
                                         -1.0 / 720,
                                         1.0 / 40320,
                                         -1.0 / 3628800,
                                         1.0 / 479001600,
                                         -1.0 / 87178291200,
                                         1.0 / 2.0922789888e13,
                                         -1.0 / 6.402373705728e15};
const double gw_sin_series[GW_SERIES] = {1.0,
                                         -1.0 / 6,
                                         1.0 / 120,
                                         -1.0 / 5040,
                                         1.0 / 362880,
                                         -1.0 / 39916800,
                                         1.0 / 6227020800,
                                         -1.0 / 1307674368000,
                                         1.0 / 3.55687428096e14,
                                         -1.0 / 1.21645100408832e17};

static double series(const double *term, double square) {
  double sum = term[GW_SERIES - 1];
  for (int j = GW_SERIES - 2; j >= 0; j--) sum = sum * square + term[j];
  return sum;
}

static double sin_small(double r) { return r * series(gw_sin_series, r * r); }
static double cos_small(double r) { return series(gw_cos_series, r * r); }

double gw_cos_f64(double x) {
  int quadrant;
  double r = reduce_quarter(x, &quadrant);
  switch (quadrant) {
  case 0: return cos_small(r);
  case 1: return -sin_small(r);
  case 2: return -cos_small(r);
  default: return sin_small(r);
  }
}

double gw_sin_f64(double x) {
  int quadrant;
  double r = reduce_quarter(x, &quadrant);
  switch (quadrant) {
  case 0: return sin_small(r);
  case 1: return cos_small(r);
  case 2: return -sin_small(r);
  default: return -cos_small(r);
  }
}

double gw_pow_f64(double x, double y) { return gw_exp_f64(y * gw_log_f64(x)); }

double gw_power_f64(double x, long n) {
  double result = 1;
  for (; n > 0; n >>= 1) {
    if (n & 1) result *= x;
    x *= x;
  }
  return result;
}
