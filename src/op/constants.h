/* Constants that reference kernels and fast kernels share: polynomial coefficients, fixed-point
 * units, signature weights; and how the operands of matrix products are taken. */
#ifndef GW_CONSTANTS_H
#define GW_CONSTANTS_H

/* The attribute `operands` of every op that multiplies matrices: as they are, or rounded to bf16
 * with the flush rules of gw_fma_bf16. Values in memory are f32 either way. */
typedef enum { GW_OPERANDS_F32, GW_OPERANDS_BF16 } GwOperands;

/* exp: bounds, log2(e), the shift that rounds to an integer, ln2 in two parts, 1/k! */
#define GW_EXP_LOW (-87.0f)
#define GW_EXP_HIGH 88.0f
#define GW_LOG2E 0x1.715476p0f
#define GW_ROUND_SHIFT 0x1.8p23f
#define GW_LN2_HIGH 0x1.62e4p-1f
#define GW_LN2_LOW 0x1.7f7d1cp-20f
#define GW_EXP_C2 (1.0f / 2)
#define GW_EXP_C3 (1.0f / 6)
#define GW_EXP_C4 (1.0f / 24)
#define GW_EXP_C5 (1.0f / 120)
#define GW_EXP_C6 (1.0f / 720)
#define GW_EXP_C7 (1.0f / 5040)

/* log: bits of 0.70710677f (splits mantissas), ln2, 1/k */
#define GW_LOG_SPLIT 0x3f3504f3
#define GW_LN2 0x1.62e43p-1f
#define GW_LOG_C3 (1.0f / 3)
#define GW_LOG_C5 (1.0f / 5)
#define GW_LOG_C7 (1.0f / 7)
#define GW_LOG_C9 (1.0f / 9)

/* bf16 products: a magnitude below this rounds to less than 2^-126 (the tie rounds up to it) */
#define GW_BF16_TINY (0x1p-126 - 0x1p-151)

/* GELU: sqrt(2/pi) and the cubic term (Hendrycks and Gimpel 2016, tanh form) */
#define GW_GELU_SCALE 0x1.988454p-1f
#define GW_GELU_CUBE 0x1.6e4e26p-5f

/* Gradients in fixed point: one unit is 2^-44 (Q19.44). Losses: 2^-32. */
#define GW_FIXED_SCALE 0x1p44
#define GW_FIXED_UNIT 0x1p-44
#define GW_LOSS_SCALE 0x1p32
#define GW_LOSS_UNIT 0x1p-32

/* The signature weight of element i is 2·GW_SIGN_STEP·i + 1 mod 2^64: odd, distinct. */
#define GW_SIGN_STEP UINT64_C(0x9e3779b97f4a7c15)
#define GW_SIGN_WEIGHT(i) (2 * GW_SIGN_STEP * (uint64_t)(i) + 1)

/* sign_squares adds up blocks of this many elements */
#define GW_SQUARE_BLOCK 4096

#endif
